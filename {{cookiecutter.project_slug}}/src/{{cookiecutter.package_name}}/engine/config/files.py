"""Reads a configuration file as data: JSON or YAML of plain values. Nothing in it is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from .plain_values import from_json

SUFFIXES = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}


class _Loader(yaml.SafeLoader):
    """YAML of plain values; numbers are those of YAML 1.2, where `1e-4` is one and `1:30` is not.

    PyYAML 6 implements YAML 1.1, which also takes `on`, `no`, dates and base 60 for values.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's way: a table of the class)


for _tag, _pattern, _first in (  # YAML 1.2.2, section 10.3.2, the core schema
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), [*_first]
    )


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value)  # in YAML 1.1, 010 is eight


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_config_file(name: str) -> dict[str, Any]:
    """The configuration in a file, nested; a key may be dotted as on the command line.

    Raises:
        UserError: it cannot be read, or holds something else than a configuration of plain
            values; names the line where that is known.
    """
    path = Path(name)
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{name}: a configuration file is .json or .yaml, not {path.suffix!r}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if kind == "JSON" else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise UserError(f"{name}, line {error.lineno}: no JSON: {error.msg}") from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{name}{_line(error)}: no YAML of plain values: {problem}") from None
    except (OSError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{name} holds no configuration: write `key: value` pairs")
    return _nested(plain_values(from_json(content), name), name)


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def plain_values(value: Any, where: str) -> Any:
    """The same value, if it is plain: text, numbers, booleans, None, lists, tuples and dicts.

    Args:
        value: from a file.
        where: the file, and the place in it, for the refusal.

    Raises:
        UserError: it is not.
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, (str, int)):
                raise UserError(f"{where}: the key {key!r} is no text: write it in quotes")
            if str(key).startswith("py/"):
                raise UserError(f"{where}: {key!r} describes an object; a value is plain")
        return {key: plain_values(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):  # the command line has tuples as well
        return type(value)(plain_values(item, where) for item in value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise UserError(f"{where}: {value!r} is no plain value (text, number, true, null, list)")


def _nested(config: dict[Any, Any], name: str) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in config.items():
        if not isinstance(key, str):
            raise UserError(f"{name}: the key {key!r} is no text: write it in quotes")
        *groups, last = key.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise UserError(f"{key}: {group} is given as a value and as a group")
        if isinstance(value, dict) and isinstance(place.get(last), dict):
            place[last] |= value
        else:
            place[last] = value
    return nested
