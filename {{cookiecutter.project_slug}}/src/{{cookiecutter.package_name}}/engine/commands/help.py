"""`train help model_args`: what a key, a group, a class or a preset takes and means."""

from __future__ import annotations

import ast
import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..config.arguments import Argument, arguments, definition, first_line
from ..config.checks import listed
from ..config.experiment import StrictExperiment, experiment
from ..config.invocation import Invocation
from ..config.meanings import key_meanings
from ..config.plain_values import flattened
from ..config.print_config import fed_classes, meanings
from ..config.sacred_internals import parse_updates
from ..config.signatures import OUTSIDE
from ..errors import UserError, unknown
from ..plugins import KEYS, PACKAGE, class_names
from ..processes import say
from ..reports.text import terminal_width
from ..runs.evaluated import evaluated_classes

NAME_WIDTH = 28  # of the column of names, at most


def help_for(ex: StrictExperiment, words: list[str]) -> None:
    """Answers `help NAME [with ...]`.

    Args:
        ex: the experiment that is asked.
        words: what follows `help`.

    Raises:
        UserError: there is nothing of this name.
    """
    name, *rest = words
    if rest and rest[0] != "with":
        raise UserError(f"{' '.join(rest)!r} is not understood: write `help {name} with KEY=VALUE`")
    invocation, config = _configured(ex, rest[1:])
    say("\n".join(_answer(name, invocation, config)))


def _configured(ex: StrictExperiment, words: list[str]) -> tuple[Invocation, dict[str, Any]]:
    invocation = ex.invocation(ex.default_command, *parse_updates(words))
    for key in invocation.overrides.keys() - {"__doc__"}:
        if key not in invocation.defaults:
            raise unknown("configuration key", key, invocation.defaults.keys() - {"__doc__"})
    return invocation, ex.resolve(invocation)


def _answer(name: str, invocation: Invocation, config: Mapping[str, Any]) -> Iterator[str]:
    ex = invocation.experiment
    groups = fed_groups(config)
    outer, _, argument = name.rpartition(".")
    if name in groups or name == "callback_args":
        named = [g for g in groups if g == name or g.startswith(f"{name}.")]
        if not named:
            yield "callback_args: no callback is configured; name some, as in"
            yield f"  {ex.path} help callback_args with callback_names=EMA"
            yield from _classes("callback")
        for position, group in enumerate(named):
            yield from [""] * (position > 0)
            yield from _group(group, groups[group], config)
    elif outer in groups:
        known = {argument.name: argument for argument in arguments(outer, groups[outer])}
        if argument not in known:
            raise unknown(f"{outer}:", argument, known)
        yield from _rows([known[argument]], _inside(config, outer), outer)
    elif name in invocation.defaults and name != "__doc__":
        yield from _key(name, invocation, config)
    elif name in ex.named_configs:
        preset = ex.named_configs[name]
        yield f"{name}: a preset, as in `{ex.path} with {name}`"
        yield from _wrapped(inspect.cleandoc(preset.__doc__ or ""), "  ")
        yield from (f"  {key} = {value!r}" for key, value in _said(preset))
    else:
        raise unknown("help:", name, {*known_names(invocation), *groups, *ex.commands})


def _said(preset: Callable[[], dict[str, Any]]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in flattened(preset()) if key != "__doc__"]


def known_names(invocation: Invocation) -> set[str]:
    """What `help` explains, besides commands."""
    return {*invocation.defaults, *invocation.experiment.named_configs} - {"__doc__"}


def fed_groups(config: Mapping[str, Any]) -> dict[str, str | None]:
    """Group -> class that it feeds, also where a stored run tells that (`evaluate`)."""
    groups = {name: None for name in OUTSIDE if name in config} | fed_classes(config)
    if "callback_names" in config:
        groups |= {f"callback_args.{name}": name for name in listed(config["callback_names"])}
    if "dataset_name" not in config:  # `evaluate`: model and data are the run's
        classes = evaluated_classes(config) or experiment("train").defaults
        groups |= {f"{kind}_args": classes[f"{kind}_name"] for kind in ("model", "dataset")}
    return groups


def _group(group: str, class_name: str | None, config: Mapping[str, Any]) -> Iterator[str]:
    if group in OUTSIDE:
        package, _, class_name = OUTSIDE[group]
        yield f"{group}: arguments of {package}'s {class_name}"
        yield from _rows(arguments(group), _inside(config, group), group)
        return
    file = definition(group, class_name).path.relative_to(PACKAGE).as_posix()
    yield f"{group}: arguments of {class_name} ({file})"
    yield from _wrapped(first_line(group, class_name), "  ")
    rows = arguments(group, class_name)
    yield from _rows(rows, _inside(config, group), group) if rows else ["  it takes none"]


def _inside(config: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    for part in group.split("."):
        config = config.get(part) or {}
    return config


def _rows(found: list[Argument], values: Mapping[str, Any], group: str) -> Iterator[str]:
    """Each argument: its name in one column; type, default, value and meaning in the other."""
    column = min(max(len(argument.name) for argument in found), NAME_WIDTH)
    for argument in found:
        facts = [argument.type] if argument.type else []
        if argument.default is not None:
            facts.append(f"default {argument.default}")
        elif group == "model_args" and argument.name not in values:
            facts.append("required; taken from the dataset unless set")
        else:
            facts.append("required")
        if argument.name in values and not _same(values[argument.name], argument.default):
            facts.append(f"here {values[argument.name]!r}")
        lines = [*_wrapped("; ".join(facts), "", column + 4)]
        lines += _wrapped(argument.meaning, "", column + 4)
        for position, line in enumerate(lines):
            head = "" if position else argument.name
            if len(head) > column:
                yield f"  {head}"
                head = ""
            yield f"  {head:<{column}}  {line}"


def _same(value: object, default: str | None) -> bool:
    """Whether a value is the default that the source has; unknown where that is computed."""
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        return default is not None and bool(ast.literal_eval(default) == value)
    return False


def _key(name: str, invocation: Invocation, config: Mapping[str, Any]) -> Iterator[str]:
    """A key that is no group."""
    parameter = inspect.signature(invocation.function).parameters[name]
    own = key_meanings(invocation.experiment.scope.function)
    meaning = own.get(name) or meanings(invocation, config).get(name, "")
    default = repr(invocation.defaults[name])
    argument = Argument(name, str(parameter.annotation), default, meaning)
    yield from _rows([argument], config, "")
    kind = next((kind for kind, key in KEYS.items() if key == name), None)
    if kind:
        yield from _classes(kind)


def _classes(kind: str) -> Iterator[str]:
    names = sorted(class_names(kind))
    width = max(map(len, names), default=0)
    for name in names:
        about = ""
        with contextlib.suppress(UserError, SyntaxError):
            about = first_line(f"{kind}_args", name)
        yield f"  {name:<{width}}  {about}".rstrip()


def _wrapped(text: str, indent: str, used: int = 0) -> list[str]:
    """Text in the lines of a terminal, less the columns that are used; one line in a pipe."""
    width = terminal_width()
    if not text or width is None:
        return [indent + text] if text else []
    return textwrap.wrap(
        text, max(width - used, 30), initial_indent=indent, subsequent_indent=indent
    )
