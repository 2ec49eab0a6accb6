"""CSV files that are written: a spreadsheet runs no text in them, numbers stay numbers."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from helpers import tree_module

FORMULAS = [
    "=1+1",
    "+1-2",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u200b=1",
    "\ufeff+A1",
]
FORMULAS += [
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(A1)",
    " \uff1d1",
    '=HYPERLINK("http://x.y","a")',
    "-cmd|' /C'!A0",
]
HARMLESS = [
    "cat",
    "a=b",
    "",
    " ",
    "-",
    "-0.5",
    "+3",
    "-1e-05",
    "-1.5000 +- 0.2500 (3)",
    "nan",
    "-inf",
]
HARMLESS += ["1;2", 'say "x"', "a\nb", "ü"]


@pytest.fixture(scope="module")
def csv_files():
    return tree_module("engine.reports.csv_files")


def cells(file) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened))


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_is_a_formula_gets_an_apostrophe(csv_files, tmp_path, text):
    csv_files.write_rows(tmp_path / "x.csv", [[text, -1], ["true", text]])
    assert cells(tmp_path / "x.csv") == [[f"'{text}", "-1"], ["true", f"'{text}"]]


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays(csv_files, tmp_path, text):
    csv_files.write_rows(tmp_path / "x.csv", [[text, text]])
    assert cells(tmp_path / "x.csv") == [[text, text]]


def test_numbers_stay_numbers(csv_files, tmp_path):
    numbers = [-1, -0.5, -1e-300, -math.inf, math.nan, True, np.float32(-2), np.int64(-3)]
    csv_files.write_rows(tmp_path / "x.csv", [numbers, [None]])
    (row, empty) = cells(tmp_path / "x.csv")
    assert row == ["-1", "-0.5", "-1e-300", "-inf", "nan", "True", "-2.0", "-3"]
    assert empty == [""]


@pytest.mark.parametrize(
    "name", [*FORMULAS[:4], *FORMULAS[10:], *HARMLESS, "'", "''=1", "'quoted'", "' =1"]
)
def test_a_column_is_read_back_by_its_name(csv_files, tmp_path, name):
    columns = {name: [-1.5, math.inf, 0.1 + 0.2], "second": [1, -2, 3]}
    csv_files.write_columns(tmp_path / "x.csv", columns)
    read = csv_files.read_columns(tmp_path / "x.csv")
    assert {key: values.tolist() for key, values in read.items()} == columns


def test_what_no_encoding_has_is_spelled_out(csv_files, tmp_path):
    csv_files.write_rows(tmp_path / "x.csv", [["\ud800"]])
    assert cells(tmp_path / "x.csv") == [["\\ud800"]]
