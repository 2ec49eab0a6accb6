"""Arguments of the classes that the configuration feeds, from their source text or signature."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..plugins import find, source

OUTSIDE = {  # group of the configuration -> module and class that it feeds
    "trainer_args": ("pytorch_lightning", "trainer/trainer.py", "Trainer"),
    "dataloader_args": ("torch", "utils/data/dataloader.py", "DataLoader"),
}
# Arguments that exist, but that the configuration cannot set.
RUNNERS_OWN = {"dataset_args": {"split"}, "dataloader_args": {"dataset"}}
# Set by the runner: no text can stand for these objects. None, their default, is accepted.
OBJECTS = {"sampler", "batch_sampler", "collate_fn", "generator", "worker_init_fn"}


def argument_names(group: str, class_name: str | None = None) -> set[str] | None:
    """Arguments of the class that a group feeds, from its source; None if that cannot tell."""
    if group in OUTSIDE:
        package, file, class_name = OUTSIDE[group]
        spec = importlib.util.find_spec(package)
        assert spec
        assert spec.submodule_search_locations
        module = _beginning(Path(spec.submodule_search_locations[0], file), class_name)
    else:
        assert class_name is not None  # what is not OUTSIDE feeds a plug-in
        module = source(find(group.partition("_args")[0], class_name))
    classes = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    for node in next(classes).body:
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
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} defines no class {class_name} with an __init__"
    return ast.parse(found[0])


def required_arguments(cls: type) -> set[str]:
    """Arguments without a default: what a dataset may supply to a model."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}


def complete(
    group: str, cls: type, values: dict[str, Any], known_by: object = None
) -> dict[str, Any]:
    """Every argument of `cls`: as configured, else its default, else as another object has it.

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
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in RUNNERS_OWN.get(group, ()) or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if name in values:
            completed[name] = values[name]
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
