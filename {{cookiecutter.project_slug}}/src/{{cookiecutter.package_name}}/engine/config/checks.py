"""Holds a configuration against the signatures that it feeds: a typo never trains.

Names first: they are read from the source text, without imports. Types follow once torch is
imported. The
function behind a command (`runner.train`, say) is the schema of its own configuration: its
parameters are the keys, its type hints their types.
"""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import UserError, unknown
from ..plugins import ROOMS, find
from .invocation import Invocation
from .signatures import (
    OBJECTS,
    OUTSIDE,
    RUNNERS_OWN,
    argument_names,
    as_typed,
    is_data_module,
    type_hints,
)


def check_command(invocation: Invocation, config: dict[str, Any]) -> None:
    """Refuses unknown keys, classes and arguments and ill-typed values; does not import torch.

    Args:
        invocation: of any command; the signature of its function is the schema.
        config: its resolved configuration.

    Raises:
        UserError: in one line, with the nearest match or the type that is wanted.
    """
    parameters = inspect.signature(invocation.function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in invocation.overrides.keys() - {*parameters, "__doc__"}:
            raise unknown("configuration key", key, _known_keys(invocation, parameters))
    values = {key: config[key] for key in parameters if key in config}
    check_types("", invocation.function, values)
    seed = config["seed"]  # sacred seeds with it, whatever the command
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"seed={seed!r} does not fit: it takes int, 0 to 2**32 - 1")
    if invocation.is_default:
        check_plug_ins(invocation.defaults, config)


def _known_keys(invocation: Invocation, parameters: Iterable[str]) -> set[str]:
    known = set(parameters)
    if not invocation.is_default:
        return known
    for group, values in invocation.defaults.items():
        if isinstance(values, dict):
            known |= {f"{group}.{name}" for name in values}
            if group in OUTSIDE:
                known |= {f"{group}.{name}" for name in argument_names(group) or ()}
    return known


def check_plug_ins(defaults: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuses unknown classes, and arguments that the class of a group does not have."""
    names = {key: config[key] for key in config if key.removesuffix("_name") in ROOMS}
    for key, name in names.items():
        find(key.removesuffix("_name"), name)
    # `evaluate` has the model of a run: `check_evaluation` knows which.
    others = {"model_args"} if "run" in config else set()
    for group in [
        k for k, value in defaults.items() if isinstance(value, dict) and k not in others
    ]:
        class_name = names.get(group.removesuffix("_args") + "_name")
        if group == "dataloader_args":
            class_name = names["dataset_name"]
        if class_name or group in OUTSIDE:
            check_names(group, config[group], class_name)
            _check_once(group, config)
    for name in listed(config.get("callback_names")):
        find("callback", name)
    for name, values in config.get("callback_args", {}).items():
        check_names(f"callback_args.{name}", values, name)


def _check_once(group: str, config: dict[str, Any]) -> None:
    """Refuses an argument of a data module that stands in both groups that it has."""
    if group == "dataloader_args" and is_data_module(config["dataset_name"]):
        for key in config[group].keys() & config["dataset_args"].keys():
            raise UserError(f"{group}: {key!r} is set in dataset_args as well: leave out one")


def listed(names: list[str] | str | None) -> list[str]:
    """Names as a list, or as is easier on a command line, between commas."""
    if isinstance(names, str):
        names = [name.strip(" []'\"") for name in names.split(",")]
    return [name for name in names or () if name]


def check_names(group: str, values: dict[str, Any], class_name: str | None = None) -> None:
    """Refuses an argument that the class of this group does not have; imports nothing.

    Args:
        group: of the configuration.
        values: what it sets.
        class_name: as for `argument_names`.
    """
    known = argument_names(group, class_name)
    runs_loaders = class_name is not None and group in ("dataset_args", "dataloader_args")
    runs_loaders = runs_loaders and is_data_module(str(class_name))
    for key in values:
        own = group == "dataloader_args" and key in OBJECTS and values[key] is not None
        if (own or key in RUNNERS_OWN.get(group, ())) and not runs_loaders:
            raise UserError(f"{group}: {key!r} is set by the runner")
        if known is not None and key not in known:
            raise unknown(f"{group}:", str(key), known)


def check_types(group: str, function: Callable[..., Any], values: dict[str, Any]) -> None:
    """Refuses values which `function(**values)` is not made for, by its type hints."""
    target = function
    if isinstance(function, type):
        target = function.__init__  # type: ignore[misc]  # of this class, not of a subclass
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = type_hints(target)
    head = f"{group}." if group else ""
    for key, value in values.items():
        if key not in parameters:
            if open_ended:
                continue
            raise unknown(f"{group}:", str(key), parameters)
        hint = hints.get(key, typing.Any)
        if not fits(as_typed(value, hint), hint):
            raise UserError(f"{head}{key}={value!r} does not fit: it takes {_words(hint)}")


def check_needs(evaluator: Any, model: object, dataset: object) -> None:
    """Refuses a model or dataset without what an evaluator says that it needs, by a Protocol.

    Raises:
        UserError: something is missing; names it, the evaluator, and who does not have it.
    """
    function = type(evaluator).evaluate
    hints = type_hints(function)
    names = list(inspect.signature(function).parameters)[1:]
    for name, given in zip(names, (model, dataset)):
        missing = sorted(m for m in _members(hints.get(name)) if not hasattr(given, m))
        if missing:
            raise UserError(
                f"evaluator_name: {type(evaluator).__name__} needs "
                f"{', '.join(map(repr, missing))}, which {type(given).__name__} does not have"
            )


def _members(hint: object) -> set[str]:
    """Public attributes and methods of a Protocol; none of any other type."""
    # typing.get_protocol_members does this, but since Python 3.13 only.
    found: set[str] = set()
    for cls in getattr(hint, "__mro__", ()):
        if typing.Protocol in cls.__bases__:
            found |= {*vars(cls), *inspect.get_annotations(cls)}
    return {name for name in found if not name.startswith("_")}


def fits(value: object, hint: Any) -> bool:
    """Whether a value of the configuration (text, number, bool, None, list, dict) has the type.

    An int passes for a float, a list for a tuple and text for a path, as JSON and the command line
    have it.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if hint is typing.Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    cls = origin or hint
    if cls is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if cls is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if cls in (list, tuple) and isinstance(value, (list, tuple)):
        if cls is tuple and args and args[-1] is not Ellipsis:
            return len(value) == len(args) and all(map(fits, value, args))
        return not args or all(fits(item, args[0]) for item in value)
    if isinstance(value, str) and args:  # text is iterable, but no Iterable[...] that is meant
        return False
    if cls is dict and isinstance(value, dict):
        return not args or all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())
    if isinstance(value, str) and isinstance(cls, type) and issubclass(cls, os.PathLike):
        return True
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return True  # a type variable or a protocol: anything may be right
    return isinstance(value, cls)


def _words(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(map(repr, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(arg) for arg in args))
    if hint is type(None):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not args else str(hint)
