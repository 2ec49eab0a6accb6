"""Lists as one types them: `runs=1,2` is a list where the argument is one; text keeps its commas.

zsh expands `[1,2]` as a pattern of file names, so commas alone have to do.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UserError
from .arguments import arguments
from .invocation import Invocation

_LISTS = {"list", "tuple", "set", "frozenset", "List", "Tuple", "Set", "FrozenSet"}
_LISTS |= {"Sequence", "MutableSequence", "Iterable", "Collection"}
_PLAIN = {"", "str", "int", "float", "bool", "complex", "Any", "object", "Path"} | _LISTS
_PLAIN |= {"dict", "Dict", "Union", "Optional", "None"}
_TEXTS = {"str", "Path", "PathLike", "Literal"}


def top_level_lists(function: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a command's own keys, with lists where its function takes one."""
    parameters = inspect.signature(function).parameters
    types = {key: str(p.annotation) for key, p in parameters.items() if p.annotation is not p.empty}
    return {key: between_commas(value, types.get(key, "")) for key, value in values.items()}


def group_lists(group: str, class_name: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a group, with lists where the class that it feeds takes one."""
    known = {}
    with contextlib.suppress(UserError, SyntaxError):  # refused later, in better words
        known = {argument.name: argument for argument in arguments(group, class_name)}
    typed = dict(values)
    for key, value in values.items():
        if isinstance(value, (str, int, float)):
            argument = known.get(key)
            type_ = (argument.type or _type_of(argument.default)) if argument else ""
            typed[key] = between_commas(value, type_)
    return typed


def all_lists(
    invocation: Invocation, overrides: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """The overrides of a command, with lists in its groups; `config` tells the classes."""
    typed = dict(overrides)
    for group, values in overrides.items():
        if not isinstance(values, dict) or not isinstance(invocation.defaults.get(group), dict):
            continue
        if group == "callback_args":
            typed[group] = {
                name: group_lists(f"{group}.{name}", name, inner)
                if isinstance(inner, dict)
                else inner
                for name, inner in values.items()
            }
        else:
            typed[group] = group_lists(
                group, config.get(f"{group.removesuffix('_args')}_name"), values
            )
    return typed


def between_commas(value: Any, annotation: str) -> Any:
    """A value from the command line or a file as an argument with this annotation takes it."""
    heads, is_list = set(), False
    for member in members(annotation):
        head = member.partition("[")[0].rpartition(".")[2]
        heads.add(head)
        # `Iterable[Logger]` takes objects that no word stands for.
        is_list |= head in _LISTS and inner(member).partition("[")[0] in _PLAIN
    is_text = bool(heads & _TEXTS)
    if isinstance(value, (int, float)) and is_list and heads <= _LISTS | {"None"}:
        return [value]
    if not isinstance(value, str):
        return value
    if is_list and not is_text:
        items = [item.strip(" '\"") for item in value.strip("[]() ").split(",")]
        of_text = any(inner(member) == "str" for member in members(annotation))
        return [item if of_text else _literal(item) for item in items if item]
    literal = _literal(value)
    if isinstance(literal, tuple) and (is_list or not is_text):
        return list(literal)
    return value


def members(annotation: str) -> list[str]:
    """The types of a union, as text."""
    try:
        return list(_members(ast.parse(annotation, mode="eval").body))
    except SyntaxError:  # empty, or a docstring's own words
        words = annotation.replace(",", " ").split()
        return [word for word in words if word in _LISTS | _TEXTS | {"int", "float", "bool"}]


def _members(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    elif isinstance(node, ast.Subscript):
        head = ast.unparse(node.value).rpartition(".")[2]
        if head in ("Optional", "Union", "Annotated"):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            for part in parts[:1] if head == "Annotated" else parts:
                yield from _members(part)
        else:
            yield ast.unparse(node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from members(node.value)
    else:
        yield ast.unparse(node)


def inner(member: str) -> str:
    """`str` of `list[str]` and of `tuple[str, ...]`."""
    return member.partition("[")[2].rstrip("]").partition(",")[0].strip()


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def _type_of(default: str | None) -> str:
    """The type of a default, where nothing else tells it."""
    value = _literal(default) if default else None
    return type(value).__name__ if isinstance(value, (list, tuple, str)) else ""
