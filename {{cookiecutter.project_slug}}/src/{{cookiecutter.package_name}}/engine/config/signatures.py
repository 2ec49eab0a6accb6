"""Arguments of the classes that the configuration feeds, from their source text or signature."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import itertools
import re
import types
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from ..errors import UserError
from ..plugins import class_names, find, source

OUTSIDE = {  # group of the configuration -> module and class that it feeds
    "trainer_args": ("pytorch_lightning", "trainer/trainer.py", "Trainer"),
    "dataloader_args": ("torch", "utils/data/dataloader.py", "DataLoader"),
}
# Arguments that exist, but that the configuration cannot set.
RUNNERS_OWN = {"dataset_args": {"split"}, "dataloader_args": {"dataset"}}
# Set by the runner: no text can stand for these objects. None, their default, is accepted.
OBJECTS = {"sampler", "batch_sampler", "collate_fn", "generator", "worker_init_fn"}
# What our own loaders take besides the arguments of torch's.
LOADERS_OWN = {"balanced"}


def is_data_module(class_name: str) -> bool:
    """Whether a class in datasets/ is a LightningDataModule, as far as sources tell.

    A base that is imported from a library counts by its name: `...DataModule`.
    """
    try:
        module = source(find("dataset", class_name))
    except UserError:  # which is somebody else's to say
        return False
    (node, *_) = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    for base in node.bases:
        name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        in_room = name != class_name and name in class_names("dataset")
        if is_data_module(name) if in_room else name.endswith("DataModule"):
            return True
    return False


def argument_names(group: str, class_name: str | None = None) -> set[str] | None:
    """Arguments of the class that a group feeds, from its source; None if that cannot tell.

    Args:
        group: of the configuration.
        class_name: of the plug-in; for `dataloader_args`, of the dataset.
    """
    if group == "dataloader_args" and class_name and is_data_module(class_name):
        return argument_names("dataset_args", class_name)
    if group in OUTSIDE:
        class_name = OUTSIDE[group][2]
        module = beginning(outside_file(group), class_name)
    else:
        assert class_name is not None  # what is not OUTSIDE feeds a plug-in
        module = source(find(group.partition("_args")[0], class_name))
    classes = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    for node in next(classes).body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            if node.args.kwarg:
                return None
            places = [*node.args.posonlyargs, *node.args.args][1:]
            names = {a.arg for a in (*places, *node.args.kwonlyargs)}
            names |= LOADERS_OWN if group == "dataloader_args" else set()
            if group == "dataset_args" and class_name and is_data_module(class_name):
                return names
            return names - RUNNERS_OWN.get(group, set())
    return None  # inherited: the check after the import sees it


def outside_file(group: str) -> Path:
    """The file of a library that defines the class which a group feeds; imports nothing."""
    package, file, _ = OUTSIDE[group]
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], file)


@cache
def beginning(path: Path, class_name: str) -> ast.Module:
    """A class up to the end of its `__init__`: the whole of a large file takes long to parse."""
    method = r"    (?:@.*\n    )*def (?!__init__)"
    pattern = rf"^class {class_name}\b(?:.*\n)*?    def __init__\((?:.*\n)*?(?={method}|\S|\Z)"
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} defines no class {class_name} with an __init__"
    return ast.parse(found[0])


def required_arguments(cls: type) -> set[str]:
    """Arguments without a default: what a dataset may supply to a model."""
    parameters = inspect.signature(cls).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {p.name for p in parameters if p.default is p.empty and p.kind not in variable}


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a function, less those that name what its module does not import."""
    function = inspect.unwrap(function)
    hints: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(function).items():
        alone = type("Alone", (), {"__annotations__": {name: annotation}})
        with contextlib.suppress(Exception):
            hints |= typing.get_type_hints(alone, globalns=function.__globals__)
    return hints


def as_typed(value: Any, hint: Any) -> Any:
    """A value as its type hint has it, where text, JSON or YAML has it otherwise.

    Text becomes a path, a list a tuple, and a key that is text a number; all else stays.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    cls = origin or hint
    if origin in (typing.Union, types.UnionType):
        kinds = [typing.get_origin(arg) or arg for arg in args]
        exact = [arg for arg, kind in zip(args, kinds) if kind is type(value)]
        if exact or value is None:
            return as_typed(value, exact[0]) if exact else value
        tried = (as_typed(value, arg) for arg in args)
        return next((made for made in tried if type(made) is not type(value)), value)
    if isinstance(value, str) and isinstance(cls, type) and issubclass(cls, PurePath):
        return cls(value)
    if cls in (tuple, list) and isinstance(value, (list, tuple)):
        item_hints = args if cls is tuple and args[-1:] != (...,) else args[:1] * len(value)
        padded = itertools.zip_longest(value, item_hints[: len(value)], fillvalue=Any)
        items = [as_typed(item, item_hint) for item, item_hint in padded]
        return tuple(items) if cls is tuple else items if isinstance(value, list) else value
    if cls is dict and isinstance(value, dict) and args:
        return {_key(key, args[0]): as_typed(item, args[1]) for key, item in value.items()}
    return value


def _key(key: Any, hint: Any) -> Any:
    with contextlib.suppress(ValueError):
        if isinstance(key, str) and hint in (int, float):
            return hint(key)
    return key


def complete(
    group: str, cls: type, values: dict[str, Any], known_by: object = None
) -> dict[str, Any]:
    """Every argument of `cls`: as configured, else its default, else as another object has it.

    What is configured arrives as its type hint says (`as_typed`).

    Args:
        group: of the configuration, for the refusal.
        cls: a plug-in.
        values: what the configuration sets.
        known_by: a dataset, whose attributes (`num_classes`, ...) are required arguments of the
            model; a default of the model's own is never overridden.

    Raises:
        UserError: a required argument has no value.
    """
    completed, missing = {}, []
    hints = type_hints(cls.__init__)  # type: ignore[misc]  # of this class, not of a subclass
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UserError(
                f"{group}: {cls.__name__} takes {name!r} by its place only, and a configuration "
                "names its values: leave out the `/` in its `__init__`"
            )
        if name in RUNNERS_OWN.get(group, ()) and not hasattr(cls, "train_dataloader"):
            continue
        if name in values:
            completed[name] = as_typed(values[name], hints.get(name))
        elif parameter.default is not parameter.empty:
            completed[name] = parameter.default
        elif hasattr(known_by, name) and not callable(getattr(known_by, name)):
            completed[name] = getattr(known_by, name)
        else:
            missing.append(name)
    if missing:
        also = f" and {type(known_by).__name__} does not know" if known_by is not None else ""
        raise UserError(
            f"{group}: {cls.__name__} needs {', '.join(map(repr, missing))}, which the "
            f"configuration does not set{also}"
        )
    return values | completed
