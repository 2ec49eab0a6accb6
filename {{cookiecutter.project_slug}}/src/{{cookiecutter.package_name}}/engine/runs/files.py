"""Files of a run: JSON that is replaced as a whole, and what it can hold."""

from __future__ import annotations

import json
import operator
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

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

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
    try:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def essence(value: Any) -> Any:
    """The same value, with what is plain in essence made plain, in containers as well.

    numpy scalars become Python's numbers, paths text, ranges lists: a checkpoint that holds one of
    these could not be read without running code. A container without any is returned as it is.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, range):
        return list(value)
    if type(value) in (list, tuple):
        items = [essence(item) for item in value]
        return value if all(map(operator.is_, items, value)) else type(value)(items)
    if isinstance(value, dict):
        new = {essence(key): essence(item) for key, item in value.items()}
        same = all(map(operator.is_, new.values(), value.values())) and new.keys() == value.keys()
        return value if same else new
    return value


def plain(**groups: Any) -> dict[str, Any]:
    """What a record can hold of some values: JSON's types; tuples as lists, other objects not."""

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return convert_all(value)
        return [convert(v) for v in value] if isinstance(value, (list, tuple)) else value

    def convert_all(values: dict[Any, Any]) -> dict[str, Any]:
        return {str(k): convert(v) for k, v in values.items() if _is_plain(v)}

    return convert_all(essence(groups))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, dict, list, tuple))
