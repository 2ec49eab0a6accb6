"""Sources written for the package `lightning`: what to write for `pytorch_lightning` instead.

The two hold the same classes twice. A Trainer of one refuses the other's with "You passed a
`lightning.pytorch` object", and this project's Trainer is that of `pytorch_lightning`.
"""

from __future__ import annotations

import ast
import traceback
from pathlib import Path

MODULES = {  # of `lightning` -> what it is here
    "lightning.pytorch": "pytorch_lightning",
    "lightning.fabric": "lightning_fabric",
    "lightning": "pytorch_lightning",
}


def other_lightning(cls: object, path: Path) -> str | None:
    """What is wrong with a class that inherits from `lightning`, with the line to write instead.

    Args:
        cls: as found in a plug-in's file.
        path: of that file.

    Returns:
        None: nothing is wrong.
    """
    bases = getattr(cls, "__mro__", ())
    theirs = [base for base in bases if base.__module__.split(".")[0] == "lightning"]
    if not theirs:
        return None
    base = theirs[0]
    own = cls.__module__.split(".")[0]
    between = [b for b in bases[: bases.index(base)] if b.__module__.split(".")[0] != own]
    if between:  # a library's class, whose source is not the user's to change
        return (
            f"it inherits from lightning.pytorch by {between[-1].__module__}.{between[-1].__name__}"
            ", a library for the other package of Lightning: take that library's version for "
            "pytorch_lightning, or copy the class"
        )
    said = f"it inherits from {base.__module__.rpartition('.')[0]}'s {base.__name__}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if new := _translated(node):
            return f"{said}: write `{new}` in place of `{ast.unparse(node)}`"
    return f"{said}: write `from pytorch_lightning import {base.__name__}` where that is imported"


def lightning_import(error: Exception) -> str:
    """For an import that failed because `lightning` is not installed: the line to write instead."""
    if (getattr(error, "name", None) or "").split(".")[0] != "lightning":
        return ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.endswith(".py"):  # the import system's own frames
            continue
        for node in ast.walk(ast.parse(Path(frame.filename).read_text(encoding="utf-8"))):
            if getattr(node, "lineno", None) == frame.lineno and (new := _translated(node)):
                return f"; write `{new}` in place of `{ast.unparse(node)}`"
    return ""


def _translated(node: ast.AST) -> str | None:
    """An import of `lightning` as one of `pytorch_lightning`; None for anything else."""
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module == "lightning" and [a.name for a in node.names] == ["pytorch"]:
            return f"import pytorch_lightning as {node.names[0].asname or 'pytorch'}"
        module = _here(node.module)
        return module and ast.unparse(ast.ImportFrom(module, node.names, 0))
    if isinstance(node, ast.Import):
        first = node.names[0]
        module = _here(first.name)
        name = first.asname or (first.name if first.name == "lightning" else None)
        return module and f"import {module}" + (f" as {name}" if name else "")
    return None


def _here(module: str) -> str | None:
    for other, ours in MODULES.items():
        if module == other or module.startswith(f"{other}."):
            return ours + module.removeprefix(other)
    return None
