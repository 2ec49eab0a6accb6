"""What the comments in a `*_config.py` say of its keys: beside a key, or in a block above it."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ..plugins import source


@cache
def comments(path: Path) -> dict[int, str]:
    """The comments in a file, by the number of their line."""
    text = path.read_text(encoding="utf-8")
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found[token.start[0]] = token.string.lstrip("# ").rstrip()
    return found


@cache
def key_meanings(function: Callable[..., Any]) -> dict[str, str]:
    """Dotted key -> comment, of a configuration function."""
    path = Path(inspect.getfile(function))
    beside = comments(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    line = function.__code__.co_firstlineno
    body = next(
        node.body
        for node in ast.walk(source(path))
        if isinstance(node, ast.FunctionDef)
        and node.name == function.__name__
        and min([node.lineno, *(d.lineno for d in node.decorator_list)]) == line
    )
    found = {}
    for key, node in _keys("", body):
        for number in (node.lineno, node.end_lineno or node.lineno):
            if number in beside and key not in found:
                found[key] = beside[number]
        if key not in found:
            found[key] = _block_above(node.lineno, lines, beside)
    return {key: text for key, text in found.items() if text}


def _block_above(number: int, lines: list[str], beside: dict[int, str]) -> str:
    block: list[str] = []
    while (number := number - 1) in beside and lines[number - 1].lstrip().startswith("#"):
        block.insert(0, beside[number])
    return " ".join(block)


def _keys(head: str, body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield head + node.name, node.decorator_list[0] if node.decorator_list else node
            yield from _keys(f"{head}{node.name}.", node.body)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = head + node.targets[0].id
            yield name, node
            yield from _entries(name, node.value)


def _entries(head: str, value: ast.expr) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """The keys of `dict(...)` and `{...}`."""
    pairs: list[tuple[str, ast.expr]] = []
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "dict":
        pairs = [(word.arg, word.value) for word in value.keywords if word.arg]
    elif isinstance(value, ast.Dict):
        pairs = [
            (key.value, item)
            for key, item in zip(value.keys, value.values)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        ]
    for name, item in pairs:
        yield f"{head}.{name}", item
        yield from _entries(f"{head}.{name}", item)
