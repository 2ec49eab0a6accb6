"""The arguments of a class that the configuration feeds, read from its source: nothing is imported.

Inherited constructors are followed through the imports of the file, into libraries as well.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..plugins import PACKAGE, find, source
from .docstrings import Entry, entries
from .meanings import comments
from .signatures import OBJECTS, OUTSIDE, RUNNERS_OWN, beginning, outside_file

# Bases whose constructors take nothing that a configuration could set: not worth their parsing.
ROOTS = {"LightningModule", "Module", "Callback", "Dataset", "SplitDataset", "Evaluator"}
ROOTS |= {"LightningDataModule", "ABC", "Protocol", "Generic", "object"}


@dataclass(frozen=True)
class Argument:
    """One argument of a class, as its source has it.

    Attributes:
        name: of the argument.
        type: its annotation, or what the docstring says; empty: unknown.
        default: as written in the source; None: it is required.
        meaning: on one line; empty: nothing says it.
    """

    name: str
    type: str
    default: str | None
    meaning: str


class Definition(NamedTuple):
    """A class in a file."""

    path: Path
    module: ast.Module
    node: ast.ClassDef


@cache
def definition(group: str, class_name: str | None = None) -> Definition:
    """The class that a group feeds (`callback_args.EMA`: a callback).

    Raises:
        UserError: there is no such plug-in.
    """
    if group in OUTSIDE:
        path, class_name = outside_file(group), OUTSIDE[group][2]
        module = beginning(path, class_name)
    else:
        path = find(group.partition("_args")[0], str(class_name))
        module = source(path)
    nodes = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == class_name)
    return Definition(path, module, next(nodes))


@cache
def arguments(group: str, class_name: str | None = None) -> list[Argument]:
    """The arguments that a group can set, in the order of the constructor.

    Raises:
        UserError: there is no such plug-in.
    """
    found: dict[str, Argument] = {}
    documented: dict[str, Entry] = {}
    is_open = True  # the constructor passes on what it does not know
    for cls in _lineage(definition(group, class_name)):
        documented = _documented(cls.node) | documented
        for argument in _constructor(cls) if is_open else ():
            found.setdefault(argument.name, argument)
        is_open = is_open and _passes_on(cls.node)
        if not is_open and all(a.meaning or a.name in documented for a in found.values()):
            break
    hidden = RUNNERS_OWN.get(group, set()) | (OBJECTS if group == "dataloader_args" else set())
    return [
        _with(argument, documented.get(argument.name, Entry("", "")))
        for argument in found.values()
        if argument.name not in hidden
    ]


def _with(argument: Argument, entry: Entry) -> Argument:
    """An argument with what a docstring says of it; the annotation in the code is the type."""
    return Argument(
        name=argument.name,
        type=argument.type or entry.type.removesuffix(", optional"),
        default=argument.default,
        meaning=entry.meaning or argument.meaning,
    )


def _documented(node: ast.ClassDef) -> dict[str, Entry]:
    init = _init(node)
    own = entries(ast.get_docstring(init)) if init else {}
    return entries(ast.get_docstring(node)) | own


def _init(node: ast.ClassDef) -> ast.FunctionDef | None:
    functions = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return next(functions, None)


def _passes_on(node: ast.ClassDef) -> bool:
    init = _init(node)
    return init.args.kwarg is not None if init else not _is_dataclass(node)


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _constructor(cls: Definition) -> Iterator[Argument]:
    """The arguments of a class's own constructor; a comment beside one says what it means."""
    beside = comments(cls.path) if cls.path.is_relative_to(PACKAGE) else {}
    init = _init(cls.node)
    if init:
        taken = [*init.args.posonlyargs, *init.args.args]
        defaults = [*[None] * (len(taken) - len(init.args.defaults)), *init.args.defaults]
        pairs = [*zip(taken, defaults), *zip(init.args.kwonlyargs, init.args.kw_defaults)][1:]
        for arg, default in pairs:
            comment = beside.get(arg.lineno, "") if init.lineno != arg.lineno else ""
            yield _argument(arg.arg, arg.annotation, default, comment)
    elif _is_dataclass(cls.node):
        for field in cls.node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                comment = beside.get(field.lineno, "")
                yield _argument(field.target.id, field.annotation, field.value, comment)


def _argument(
    name: str, annotation: ast.expr | None, default: ast.expr | None, comment: str
) -> Argument:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        type_ = annotation.value  # "list[int]", in quotes
    else:
        type_ = ast.unparse(annotation) if annotation else ""
    return Argument(name, type_, ast.unparse(default) if default else None, comment)


# -- Inheritance ----------------------------------------------------------------------------------


def _lineage(cls: Definition, seen: frozenset[str] = frozenset()) -> Iterator[Definition]:
    """A class and those that it inherits from, as far as their sources can be found."""
    yield cls
    for base in cls.node.bases:
        dotted = ast.unparse(base).partition("[")[0]
        if dotted.rpartition(".")[2] in ROOTS | seen:
            continue
        parent = _resolve(cls.path, cls.module, dotted.split("."))
        if parent:
            yield from _lineage(parent, seen | {cls.node.name})


def _resolve(path: Path, module: ast.Module, names: list[str], depth: int = 0) -> Definition | None:
    """The class that dotted names mean in a module."""
    first, rest = names[0], names[1:]
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name == first and not rest:
            return Definition(path, module, node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    base = _module_file(path, node.module or "", node.level)
                    return _inside(base, [alias.name, *rest], depth)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) == first:
                    return _inside(_module_file(path, alias.name, 0), rest, depth)
    return None


def _inside(base: Path | None, names: list[str], depth: int) -> Definition | None:
    """The class that dotted names mean below a module or package."""
    while base and len(names) > 1 and (below := _submodule(base, names[0])):
        base, names = below, names[1:]
    if not base or not names or depth > 8:
        return None
    with contextlib.suppress(SyntaxError, ValueError):  # a file that Python cannot read, either
        return _resolve(base, source(base), names, depth + 1)
    return None


def _module_file(path: Path, name: str, level: int) -> Path | None:
    """The file of a module that is imported in `path`; importing no parent of it."""
    parts = name.split(".") if name else []
    if level:
        base: Path | None = path.parents[level - 1] / "__init__.py"
    else:
        spec = None
        with contextlib.suppress(ValueError, ImportError):  # `__main__`
            spec = importlib.util.find_spec(parts.pop(0))  # of the outermost: nothing is imported
        base = Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
    for part in parts:
        base = _submodule(base, part) if base else None
    return base if base and base.is_file() else None


def _submodule(package: Path, name: str) -> Path | None:
    if package.name != "__init__.py":
        return None
    for file in (package.parent / name / "__init__.py", package.parent / f"{name}.py"):
        if file.is_file():
            return file
    return None


def first_line(group: str, class_name: str | None = None) -> str:
    """What a plug-in is, by the first line of its docstring."""
    text = ast.get_docstring(definition(group, class_name).node) or ""
    return inspect.cleandoc(text).partition("\n")[0]
