"""Files of a run: JSON that is replaced as a whole, and what it can hold."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from ..config.plain_values import essence as essence  # "as": a re-export, for mypy
from ..config.plain_values import to_json
from ..errors import UserError


def refuse_links(*paths: Path) -> None:
    """Refuses paths in a run's folder that are links: writing there may change a file elsewhere.

    Raises:
        UserError: names the first one.
    """
    for path in paths:
        if path.is_symlink():
            raise UserError(f"{path} is a link, maybe out of the run's folder: nothing is written")


def write_json(path: Path, content: object) -> None:
    """Replaces a JSON file as a whole: a kill or a full disk leaves the old one.

    Tuples and keys that are no text are written so that `read_run` gives them back.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
    try:
        part.write_text(json.dumps(to_json(content), indent=2) + "\n", encoding="utf-8")
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
