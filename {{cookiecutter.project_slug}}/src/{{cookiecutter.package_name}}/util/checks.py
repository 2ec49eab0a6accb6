"""Holds a configuration against the signatures that it feeds: a typo never trains.

First names, read from the source text in a moment; then, once torch is imported, types. The
function behind a command (`runner.train`, say) is the schema of its own configuration: its
parameters are the keys, its type hints their types.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path

from .experiment import StrictExperiment, UserError, refusals, unknown
from .loading import KINDS, find, source

OUTSIDE = {  # group of the configuration -> module and class that it feeds
    "trainer_args": ("pytorch_lightning", "trainer/trainer.py", "Trainer"),
    "dataloader_args": ("torch", "utils/data/dataloader.py", "DataLoader"),
}
# Arguments that are real but not the configuration's to set.
RUNNERS_OWN = {"dataset_args": {"split"}, "dataloader_args": {"dataset"}}
# Objects, which no text can stand for: the runner sets them; None is what they are by default.
OBJECTS = {"sampler", "batch_sampler", "collate_fn", "generator", "worker_init_fn"}


def check_configuration(ex: StrictExperiment, function: Callable, config: dict) -> None:
    """Refuses unknown keys, classes and arguments and ill-typed values; does not import torch."""
    defaults = ex.configurations[0].defaults
    names = {key: config[key] for key in config if key.removesuffix("_name") in KINDS}
    groups = {key: value for key, value in defaults.items() if isinstance(value, dict)}
    for key in config:
        if key not in defaults:
            known = {*defaults, *(f"{group}.{name}" for group in groups for name in groups[group])}
            for group in OUTSIDE.keys() & groups.keys():
                known |= {f"{group}.{name}" for name in argument_names(group)}
            raise unknown("configuration key", key, known - {"__doc__"})
    check_types("", function, {key: config[key] for key in config if key != "__doc__"})
    if not 0 <= config["seed"] < 2**32:
        raise UserError(f"seed={config['seed']} does not fit: it takes 0 to 2**32 - 1")
    for key, name in names.items():
        find(key.removesuffix("_name"), name)
    for group in groups:
        class_name = names.get(group.removesuffix("_args") + "_name")
        if class_name or group in OUTSIDE:
            check_names(group, config[group], class_name)


def argument_names(group: str, class_name: str | None = None) -> set[str] | None:
    """Arguments of the class that a group feeds, from its source; None if that cannot tell."""
    if group in OUTSIDE:
        package, file, class_name = OUTSIDE[group]
        path = Path(importlib.util.find_spec(package).submodule_search_locations[0], file)
        module = _beginning(path, class_name)
    else:
        module = source(find(group.removesuffix("_args"), class_name))
    body = next(n.body for n in module.body if getattr(n, "name", None) == class_name)
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            if node.args.kwarg:
                return None
            names = {a.arg for a in (*node.args.args[1:], *node.args.kwonlyargs)}
            return names - RUNNERS_OWN.get(group, set())
    return None  # inherited: the check after the import sees it


@cache
def _beginning(path: Path, class_name: str) -> ast.Module:
    """A class up to the end of its `__init__`: the whole of a large file takes long to parse."""
    method = r"    (?:@.*\n    )*def (?!__init__)"
    pattern = rf"^class {class_name}\b(?:.*\n)*?    def __init__\((?:.*\n)*?(?={method}|\S|\Z)"
    return ast.parse(re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)[0])


def check_names(group: str, values: dict, class_name: str | None = None) -> None:
    """Refuses an argument that the class of this group does not have; imports nothing."""
    known = argument_names(group, class_name)
    for key in values:
        own = group == "dataloader_args" and key in OBJECTS and values[key] is not None
        if own or key in RUNNERS_OWN.get(group, ()):
            raise UserError(f"{group}: {key!r} is set by the runner")
        if known is not None and key not in known:
            raise unknown(f"{group}:", str(key), known)


def check_types(group: str, function: Callable, values: dict) -> None:
    """Refuses values which `function(**values)` is not made for, by its type hints."""
    target = function.__init__ if isinstance(function, type) else function
    parameters = inspect.signature(function).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _hints(target)
    head = f"{group}." if group else ""
    for key, value in values.items():
        if key not in parameters:
            if open_ended:
                continue
            raise unknown(f"{group}:", str(key), parameters)
        hint = hints.get(key, typing.Any)
        if not fits(value, hint):
            raise UserError(f"{head}{key}={value!r} does not fit: it takes {_words(hint)}")


def _hints(function: Callable) -> dict:
    """The type hints of a function, less those that name what its module does not import."""
    hints = {}
    for name, annotation in inspect.get_annotations(function).items():
        alone = type("Alone", (), {"__annotations__": {name: annotation}})
        with contextlib.suppress(Exception):
            hints |= typing.get_type_hints(alone, globalns=function.__globals__)
    return hints


def fits(value, hint) -> bool:
    """Whether a value of the configuration (text, number, bool, None, list, dict) has the type.

    An int passes for a float and a list for a tuple, as JSON and the command line have it.
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
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return True  # a type variable or a protocol: anything may be right
    return isinstance(value, cls)


def _words(hint) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(map(repr, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(arg) for arg in args))
    if hint is type(None):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not args else str(hint)


def complete(group: str, cls: type, values: dict, known_by: object = None) -> dict:
    """Every argument of `cls`: as configured, else as another object knows it, else the default.

    Args:
        group: of the configuration, for the refusal.
        cls: a plug-in.
        values: what the configuration sets.
        known_by: a dataset, whose attributes (`num_classes`, ...) are arguments of the model.

    Raises:
        UserError: an argument is required and nobody has it.
    """
    complete, missing = {}, []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in RUNNERS_OWN.get(group, ()) or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if name in values:
            complete[name] = values[name]
        elif hasattr(known_by, name) and not callable(getattr(known_by, name)):
            complete[name] = getattr(known_by, name)
        elif parameter.default is not parameter.empty:
            complete[name] = parameter.default
        else:
            missing.append(name)
    if missing:
        also = f" and {type(known_by).__name__} does not know" if known_by is not None else ""
        raise UserError(
            f"{group}: {cls.__name__} needs {', '.join(map(repr, missing))}, which the "
            f"configuration does not set{also}"
        )
    return values | complete


def prepare_dataset(cls: type, values: dict) -> dict:
    """Lets a dataset class fetch or check its data; returns all its arguments, settled."""
    values = complete("dataset_args", cls, values)
    wanted = inspect.signature(cls.prepare).parameters
    with refusals(f"dataset_args: {cls.__name__}"):
        settled = cls.prepare(**{key: values[key] for key in wanted if key in values})
    return values | (settled or {})
