"""Plain values: what a configuration, a record and a checkpoint can hold, and how JSON has them.

JSON knows neither tuples nor keys that are no text. They are written as jsonpickle, and so sacred
up to 0.8.7, writes them: `{"py/tuple": [...]}`, and `"json://1"` for the key 1.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

KEY = "json://"


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


def normalized(value: Any) -> Any:
    """A copy in containers of its own, with what is plain in essence made plain."""
    if isinstance(value, dict):
        return {key: normalized(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(map(normalized, value))
    return essence(value)


def with_lists(value: Any) -> Any:
    """The same with lists for tuples, as records of version 0.4.0 and before have them."""
    if isinstance(value, dict):
        return {key: with_lists(item) for key, item in value.items()}
    return [with_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def is_group(value: object) -> bool:
    """Whether a value is a dict whose entries dotted keys can name."""
    return isinstance(value, dict) and all(isinstance(k, str) and "." not in k for k in value)


def flattened(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of each entry of a nested configuration."""
    for key, value in sorted(config.items(), key=operator.itemgetter(0)):
        if value and isinstance(value, dict) and is_group(value):
            yield from ((f"{key}.{inner}", item) for inner, item in flattened(value))
        else:
            yield key, value


def refuse_objects(config: dict[str, Any], file: str) -> None:
    """Refuses values of a configuration that no record could hold.

    Args:
        config: nested, by text.
        file: where they come from, as the command line and data files hold none.

    Raises:
        UserError: names the first one, and what to write in its stead.
    """
    for key, value in config.items():
        _refuse_objects(value, str(key), file)


def _refuse_objects(value: Any, place: str, file: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_objects(item, f"{place}.{key}", file)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _refuse_objects(item, f"{place}[{number}]", file)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        if isinstance(value, np.ndarray):
            instead = "write a list (`.tolist()`)"
        elif place.startswith("trainer_args."):
            instead = "make it in a callback (callbacks/), from plain arguments"
        else:
            instead = "take text or a number, and build it inside of the class"
        raise UserError(
            f"{file}: {place}={value!r} is no plain value (text, number, True, None, list, dict), "
            f"which a record could give back: {instead}"
        )


def to_json(value: Any) -> Any:
    """Plain values as JSON can hold them, so that `from_json` gives the same back."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else f"{KEY}{json.dumps(key)}": to_json(item)
            for key, item in value.items()
        }
    if isinstance(value, tuple):
        return {"py/tuple": [to_json(item) for item in value]}
    return [to_json(item) for item in value] if isinstance(value, list) else value


def from_json(value: Any) -> Any:
    """What `to_json` was given; nothing is built but tuples and keys."""
    if isinstance(value, dict):
        return _given_back({key: from_json(item) for key, item in value.items()})
    return [from_json(item) for item in value] if isinstance(value, list) else value


def parsed(text: str) -> Any:
    """What `to_json` was given, from the text that was made of it.

    Raises:
        ValueError: it is no JSON.
    """
    hook = None  # most texts have nothing to give back, and to look takes longer than to parse
    if KEY in text:
        hook = _given_back
    elif "py/tuple" in text:
        hook = _tuple
    return json.loads(text, object_hook=hook)


def _given_back(content: dict[str, Any]) -> Any:
    """A JSON object, in which every object is given back already."""
    value = _tuple(content)
    return {_key(key): item for key, item in value.items()} if value is content else value


def _tuple(content: dict[str, Any]) -> Any:
    is_tuple = len(content) == 1 and isinstance(content.get("py/tuple"), list)
    return tuple(content["py/tuple"]) if is_tuple else content


def _key(key: Any) -> Any:
    if not isinstance(key, str) or not key.startswith(KEY):
        return key
    try:
        meant = json.loads(key.removeprefix(KEY))
    except ValueError:
        return key
    return meant if isinstance(meant, (int, float, type(None))) else key
