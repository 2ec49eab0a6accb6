"""Finds a plug-in by its class name, importing only the file that defines it; and Lightning."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import logging
import re
import sys
import warnings
from functools import cache
from pathlib import Path

from .errors import UserError, unknown

PACKAGE = Path(__file__).resolve().parent.parent
_NAME = __package__.rpartition(".")[0]  # of the package, as imports have it
MOVED = {  # module up to 0.4.0 -> since 0.5.0
    "util.experiment": "engine.errors",
    "util.loading": "engine.plugins",
    "util.processes": "engine.processes",
    "util.runs": "engine.runs.finding",
    "util.checkpoints": "engine.runs.checkpoint_file",
    "util.data": "engine.training.loaders",
    "util.compare": "engine.reports.outcome",
}
# Kind of plug-in -> the user's room that it lies in.
ROOMS = {"model": "models", "dataset": "datasets", "evaluator": "evaluators"}


@cache
def source(path: Path) -> ast.Module:
    """The syntax tree of a file: what it defines is known without importing it, or torch."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _shown(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _classes(room: str, beginning: str = "") -> tuple[dict[str, list[Path]], list[str]]:
    """The files that define each class of a folder, and what is wrong with unreadable files.

    Only files with a line that matches `beginning` are parsed: parsing takes most of the time.
    """
    found: dict[str, list[Path]] = {}
    broken: list[str] = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name == "__init__.py":
            continue
        try:
            if not re.search(beginning, path.read_text(encoding="utf-8"), re.MULTILINE):
                continue
            nodes = source(path).body
        except (SyntaxError, UnicodeDecodeError, ValueError) as error:
            line = getattr(error, "lineno", None)
            at = f", line {line}" if line else ""
            broken.append(f"{_shown(path)} cannot be read ({error.__class__.__name__}{at})")
            continue
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path)
    return found, broken


def find(kind: str, name: str) -> Path:
    """The file that defines plug-in `name`; `kind` is a key of `ROOMS`.

    Raises:
        UserError: no file defines it, or two do.
    """
    room = ROOMS[kind]
    found, broken = _classes(room, rf"^class {re.escape(str(name))}\b")
    if name not in found:
        found, broken = _classes(room)
        also = "".join(f"; {problem}" for problem in broken)
        raise unknown(f"{kind}_name: in {room}/, class", str(name), found, also)
    if len(found[name]) > 1:
        files = " and ".join(_shown(path) for path in found[name])
        raise UserError(f"{kind}_name: {name!r} is defined in {files}: rename one of them")
    return found[name][0]


def load(kind: str, name: str) -> type:
    """Imports the one file that defines plug-in `name`, and returns the class.

    Raises:
        UserError: there is no such class, its file fails to import, or it is of another kind.
    """
    path = find(kind, name)
    module = ".".join((_NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
    try:
        cls = getattr(importlib.import_module(module), name)
    except Exception as error:
        frames = [f for f in inspect.trace() if Path(f.filename) == path]
        at = f", line {frames[-1].lineno}" if frames else ""
        raise UserError(
            f"{kind}_name: {name} cannot be imported from {_shown(path)}{at}: "
            f"{error.__class__.__name__}: {error}{_moved_to(error)}"
        ) from error
    base = _base(kind)
    if not issubclass(cls, base):
        raise UserError(
            f"{kind}_name: {name} in {_shown(path)} is no {kind}: it has to be a subclass of "
            f"{base.__module__.partition('.')[0]}'s {base.__name__}"
        )
    return cls


def _moved_to(error: Exception) -> str:
    """Where a module of the machinery lies now that a plug-in looks for in its place of 0.4.0."""
    old = getattr(error, "name", None) or ""
    new = MOVED.get(old.removeprefix(f"{_NAME}."))
    return f"; write `from ..{new} import ...`" if new else ""


def import_lightning() -> None:
    """Imports torch and Lightning, quickly, and without their warnings about healthy runs."""
    if "pytorch_lightning" not in sys.modules:  # a later `gc.freeze` would keep garbage for ever
        gc.disable()  # imports create long-lived objects only: collecting takes a third of the time
        import pytorch_lightning  # noqa: F401

        gc.enable()
        gc.freeze()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",  # for data in memory, workers are slower
        "This DataLoader will create",  # more workers than cores, which still read ahead
        ".*is smaller than the logging interval",
        ".*your dataloader is not resumable",  # ours is, by other means
        ".*LeafSpec",  # Lightning's use of torch, not ours
        ".*could not find the monitored key",  # nothing is validated, so there is no best
        ".*but have no `validation_step`",  # a model without validation
        ".*You requested to overfit",
    ):
        warnings.filterwarnings("ignore", message=message)


def _base(kind: str) -> type:
    if kind == "model":
        from pytorch_lightning import LightningModule

        return LightningModule
    if kind == "dataset":
        from .contracts import SplitDataset

        return SplitDataset
    from .contracts import Evaluator

    return Evaluator
