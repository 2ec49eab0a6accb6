"""Files of a run: JSON that is replaced as a whole, and what it can hold."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config.plain_values import essence as essence  # "as": a re-export, for mypy
from ..config.plain_values import parsed, to_json
from ..errors import UserError

# What content raises that is not what was written.
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)

# What a run that goes on writes to by its name, and these folders' content; JSON files and
# checkpoints are replaced, and a link with them.
WRITTEN_TO = (
    "lock",
    "cout.txt",
    "metrics.jsonl",
    "hparams.yaml",
    "profile.txt",
    "uncommitted.diff",
)
FOLDERS = ("attempts", "resources", "sources")


def refuse_links(*paths: Path) -> None:
    """Refuses paths in a run's folder that are links: writing there may change a file elsewhere.

    Raises:
        UserError: names the first one.
    """
    for path in paths:
        if path.is_symlink():
            raise UserError(f"{path} is a link, maybe out of the run's folder: nothing is written")


def modified(path: Path) -> float:
    """When a file was last modified; a link to nothing has a time as well."""
    return path.lstat().st_mtime


def refuse_links_in(folder: Path) -> None:
    """Refuses a run's folder with a link in it through which going on would write.

    Raises:
        UserError: names the first one.
    """
    refuse_links(*(folder / name for name in (*WRITTEN_TO, *FOLDERS, "checkpoints")))
    for name in FOLDERS:
        refuse_links(*(folder / name).rglob("*"))


def shown(path: Path) -> Path:
    """A path as a person may type it: from the current folder where it lies in there."""
    with contextlib.suppress(OSError, ValueError):  # no such folder any more, or not in there
        return path.relative_to(Path.cwd())
    return path


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Names the file in which something is not what a run writes.

    Raises:
        UserError: in place of what reading damaged content raises.
    """
    try:
        yield
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{file} is damaged: {error!r}") from None


def read_text(path: Path) -> str:
    """The text of a file in a run's folder; opening a pipe or a device might never end.

    Raises:
        OSError, ValueError: it cannot be read, or is no file.
    """
    at = os.fspath(path)  # of `Path`, `exists`, `is_file` and `read_text` take three times as long
    if not stat.S_ISREG(os.stat(at).st_mode):
        raise ValueError("no file")
    with open(at, encoding="utf-8") as file:
        return file.read()


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; nothing in it is run.

    Raises:
        UserError: it cannot be read, or is none.
    """
    try:
        content = parsed(read_text(file))
    except DAMAGE as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} cannot be read: not an object")
    return content


def write_json(path: Path, content: object) -> None:
    """Replaces a JSON file as a whole: a kill or a full disk leaves the old one.

    Tuples and keys that are no text are written so that `read_run` gives them back.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
    try:
        part.unlink(missing_ok=True)
        with part.open("x", encoding="utf-8") as file:  # "x": not through a link
            file.write(json.dumps(to_json(content), indent=2) + "\n")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def plain(**groups: Any) -> dict[str, Any]:
    """What a record can hold of some values; other objects are left out."""
    made: dict[str, Any] = _plain_items(essence(groups))
    return made


def _plain_items(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_items(item) for key, item in value.items() if _is_plain(item)}
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, dict))
