"""`train print_config`: the configuration with what each key means, in colours for a terminal only.

In place of sacred's command, which knows no comments within groups and colours files as well.
"""

from __future__ import annotations

import contextlib
import os
import pprint
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UserError, printable
from .arguments import arguments
from .invocation import Invocation, current
from .meanings import key_meanings
from .plain_values import is_group
from .signatures import OUTSIDE

_BLUE, _DIM, _END = "\033[34m", "\033[2m", "\033[0m"
COMMENT_AT = 37  # the column where comments begin, unless a value is longer


def in_colour() -> bool:
    """Whether a terminal shows what is printed, and its user wants colours (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


def print_config(_run: Any) -> None:
    """Prints the configuration and what each key means; at a terminal, overrides are blue."""
    modified: set[str] = set(_run.config_modifications.modified)
    blue, dim, end = (_BLUE, _DIM, _END) if in_colour() else ("", "", "")
    said = meanings(current(), _run.config)
    lines = [f"Configuration ({blue}modified{end}, {dim}doc{end}):" if end else "Configuration:"]
    if doc := _run.config.get("__doc__"):
        lines.append(f'{dim}  """{doc}"""{end}')
    for key, value in _flattened("", _run.config):
        indent = "  " * (key.count(".") + 1)
        text = indent + key.rpartition(".")[2]
        text += ":" if value and is_group(value) else f" = {pprint.pformat(value)}"
        line = f"{blue}{printable(text)}{end}" if key in modified else printable(text)
        if key in said:
            gap = " " * max(COMMENT_AT - len(text), 2)
            line += f"{gap}{dim}# {printable(said[key])}{end}"
        lines.append(line)
    print("\n".join(lines))


def _flattened(head: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; what is no group first, and a group before what it holds."""
    groups = {key for key, value in config.items() if value and is_group(value)}
    for key in sorted(config.keys() - {"__doc__"}, key=lambda key: (key in groups, key)):
        yield head + key, config[key]
        if key in groups:
            yield from _flattened(f"{head}{key}.", config[key])


def meanings(invocation: Invocation, config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> what it means: the comment in the `*_config.py`, else the class's docstring.

    Args:
        invocation: of a command whose configuration is that of its file.
        config: the resolved configuration; it tells which class a group feeds.
    """
    found: dict[str, str] = {}
    commented = key_meanings(invocation.experiment.scope.function)
    for group, class_name in fed_classes(config).items():
        outer = group.partition(".")[0]
        key = f"{outer.removesuffix('_args')}_name"
        if config.get(key) != invocation.defaults.get(key):  # the comments are of another class
            commented = {k: text for k, text in commented.items() if not k.startswith(f"{outer}.")}
        with contextlib.suppress(UserError, SyntaxError):
            for argument in arguments(group, class_name):
                if argument.meaning:
                    # Of a library's explanation, the first sentence: `help` shows all of it.
                    first, *_ = re.split(r"(?<=[.:])\s", argument.meaning, maxsplit=1)
                    found[f"{group}.{argument.name}"] = first
    return found | commented


def fed_classes(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Group of a configuration -> class that it feeds; None: one of a library."""
    found: dict[str, str | None] = {}
    for group, values in config.items():
        if not isinstance(values, dict):
            continue
        if group in OUTSIDE:
            found[group] = None
        elif group == "callback_args":
            found |= {f"{group}.{name}": name for name in values}
        elif f"{group.removesuffix('_args')}_name" in config:
            found[group] = str(config[f"{group.removesuffix('_args')}_name"])
    return found
