"""Imports inside the package go one way, and the machinery never into the rooms that are yours."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = next((Path(__file__).resolve().parent.parent / "src").glob("*/runner.py")).parent
ROOMS = (  # from the ground up: each may import those before it
    "errors",
    "terminal",
    "processes",
    "other_lightning",
    "contracts",
    "plugins",
    "config",
    "runs",
    "training",
    "reports",
    "sweeps",
    "handover",
    "commands",
)
ENGINE = sorted((PACKAGE / "engine").rglob("*.py"))


def imports(text: str, folder: str) -> set[str]:
    """What of this package a file imports, wherever in it: `engine.config.checks`, say.

    Args:
        text: of the file.
        folder: that it is in, inside the package: "engine/runs".
    """
    here, names = [PACKAGE.name, *folder.split("/")], []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            names += [[*base, alias.name] for alias in node.names]
    return {".".join(rest) for first, *rest in names if first == PACKAGE.name}


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[1]
    allowed = () if room == "__init__" else ROOMS[: ROOMS.index(room) + 1]
    folder = path.relative_to(PACKAGE).parent.as_posix()
    for name in imports(path.read_text(encoding="utf-8"), folder):
        parts = name.split(".")
        assert parts[0] == "engine", f"{name} is not the machinery's to import"
        assert parts[1] in allowed, f"{name} stands above {room}"


def test_every_form_of_import_is_seen():
    text = (
        f"import torch, {PACKAGE.name}.util\nfrom torch import nn\nfrom ...models import cnn\n"
        "def f():\n    from ..commands.runs import x\n    from . import lock\n"
    )
    expected = {"util", "models.cnn", "engine.commands.runs.x", "engine.runs.lock"}
    assert imports(text, "engine/runs") == expected
