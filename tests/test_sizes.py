"""Files and functions stay short: past these sizes there are usually two ideas in one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers import TEMPLATE, TREE, TREE_PACKAGE

FUNCTION = 60  # lines, with the docstring
MACHINERY, RUNNER, TESTS = 300, 190, 400
ENGINE = sorted(TREE_PACKAGE.glob("engine/**/*.py"))
SOURCES = [*ENGINE, TREE_PACKAGE / "runner.py"]


def long_functions(path: Path, limit: int) -> list[str]:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    sizes = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    return [f"{path.name}: {name} has {size}" for name, size in sizes.items() if size > limit]


def long_files(paths: list[Path], limit: int) -> list[str]:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path.name} has {size}" for path, size in sizes.items() if size > limit]


def test_functions_of_the_machinery_fit_on_a_screen():
    assert len(ENGINE) > 30
    assert [long for path in SOURCES for long in long_functions(path, FUNCTION)] == []


@pytest.mark.parametrize(
    ("paths", "limit"),
    [
        (ENGINE, MACHINERY),
        ([TREE_PACKAGE / "runner.py"], RUNNER),
        (sorted([*TEMPLATE.glob("tests/*.py"), *TREE.glob("tests/*.py")]), TESTS),
    ],
    ids=["engine", "runner", "tests"],
)
def test_files_are_of_one_subject(paths, limit):
    assert long_files(paths, limit) == []


def test_a_long_function_or_file_is_found(tmp_path):
    path = tmp_path / "long.py"
    path.write_text("def short():\n    pass\n\n\ndef long():\n" + "    pass\n" * 60)
    assert long_functions(path, 60) == ["long.py: long has 61"]
    assert long_files([path], 64) == ["long.py has 65"]
    assert long_files([path], 65) == []
