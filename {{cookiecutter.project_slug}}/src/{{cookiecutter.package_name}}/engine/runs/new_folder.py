"""Makes the folder of a new run."""

from __future__ import annotations

import ast
import contextlib
import re
from pathlib import Path

from ..errors import UserError

RESERVED = ("last", "best", "newest", "all")


def _is_read_as_text(name: str) -> bool:
    """Whether the command line takes the name for what it is; `2024_01` is the number 202401."""
    try:
        return str(ast.literal_eval(name)) == name
    except (ValueError, SyntaxError):
        return True


def make_folder(basedir: Path, name: str | None) -> Path:
    """Makes the folder of a run.

    Args:
        basedir: folder of the runs.
        name: of the run; None: the next number.

    Raises:
        UserError: the name is none or is taken, or no folder can be made.
    """
    if name is not None and not re.fullmatch(r"\w[\w.-]*", str(name)):
        raise UserError(f"a run cannot be called {name!r}: use letters, digits, '-', '_', '.'")
    if name in RESERVED or not _is_read_as_text(str(name)):
        raise UserError(f"a run cannot be called {name!r}: `run={name}` means something else")
    path = basedir / str(name)
    try:
        _make_for_runs(basedir)
        if name is None:
            return _next_number(basedir)
        path.mkdir()
        return path
    except FileExistsError:
        raise UserError(f"{path} exists already: choose another id") from None
    except OSError as error:
        raise UserError(f"no folder for the run can be made: {error}") from error


def _next_number(basedir: Path) -> Path:
    """Makes the folder of the next number; of two processes at a time each gets its own."""
    taken = [int(path.name) for path in basedir.iterdir() if path.name.isdecimal()]
    number = max(taken, default=0)
    while True:
        number += 1
        with contextlib.suppress(FileExistsError):
            (basedir / str(number)).mkdir()
            return basedir / str(number)


def _make_for_runs(basedir: Path) -> None:
    """Makes a folder of runs, which is ignored by git and by what reads `.gitignore` (ruff, black).

    A run holds sources, which nobody means to format or to commit. What was there before may hold
    other things as well, and is left alone; then the model's folder in it is ignored.
    """
    is_settled = (basedir.parent / "run.json").exists()  # evaluations of a run
    for folder in (basedir.parent, basedir):
        is_new, rule = not folder.exists(), folder / ".gitignore"
        folder.mkdir(parents=True, exist_ok=True)
        if is_new and not is_settled:
            rule.write_text("*\n", encoding="utf-8")
        is_settled |= rule.exists() and "*" in rule.read_text(encoding="utf-8").split()
