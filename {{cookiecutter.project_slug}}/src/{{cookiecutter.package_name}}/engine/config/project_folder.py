"""Whose command this is, where several stamped projects share an environment."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..plugins import PACKAGE

# What every stamped project has, of whatever version.
MARKS = ("runner.py", "train_config.py", "eval_config.py")


def refuse_foreign_folder(command: str, folder: Path | None = None) -> None:
    """Refuses to work inside the folder of another stamped project than the command's own.

    The project whose folder it is would expect its own models and settings. A plain folder is
    nobody's. An installed copy (a wheel) works in the folder of the project of the same name.

    Args:
        command: `train` or `evaluate`.
        folder: where it was typed; None: the working directory.

    Raises:
        UserError: names both projects, and what to write.
    """
    here = _package_around(folder or Path.cwd())
    if here is None or here == PACKAGE:
        return
    own = _package_around(PACKAGE)
    if own is None and here.name == PACKAGE.name:
        return
    raise UserError(
        f"`{command}` is the command of {PACKAGE.name} ({own.parent.parent if own else PACKAGE}), "
        f"but this folder belongs to {here.name} ({here.parent.parent}): write "
        f"`python -m {here.name}.runner {command} ...`, or install that project last"
    )


def _package_around(folder: Path) -> Path | None:
    """The package of the stamped project that a folder lies in, or None."""
    folder = folder.resolve()
    for root in (folder, *folder.parents):
        if (root / "pyproject.toml").is_file():
            for package in sorted(root.glob("src/*/")):
                if all((package / mark).is_file() for mark in MARKS):
                    return package.resolve()
    return None
