"""The CSV files that are written here, and read back: harmless when a spreadsheet opens them.

A spreadsheet takes text that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula
and runs it (OWASP, "CSV Injection"). Such text gets an apostrophe before it, as does text that has
one already, so that reading takes exactly one away.
"""

from __future__ import annotations

import csv
import itertools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

# White space, control and format characters are passed over by some spreadsheets, and full-width
# forms (U+FF1D, ...) are taken for the characters themselves.
_BEFORE = r"[\s\0-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]*"
_FORMULA = re.compile(rf"[\t\r\n]|{_BEFORE}[=+\-@\uff1d\uff0b\uff0d\uff20]")
_DIGITS = r"[+-]?(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
# A number as text, a mean with its spread, or the dash of an empty cell: none is a formula.
_NUMBER = re.compile(rf" *(?:{_DIGITS}(?: \+- {_DIGITS} \(\d+\))?|-) *", re.ASCII)


def write_rows(file: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Writes rows of numbers and text.

    Raises:
        OSError: the file cannot be written.
    """
    # What no encoding has (half of a surrogate pair, from a JSON file) is spelled out.
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as opened:
        csv.writer(opened).writerows(map(_harmless, rows))


def write_columns(file: Path, columns: Mapping[str, Sequence[float]]) -> None:
    """Writes columns of numbers, which are as long as each other, under their names."""
    rows = (map(float, row) for row in zip(*columns.values(), strict=True))
    write_rows(file, itertools.chain([columns], rows))


def read_columns(file: Path) -> dict[str, np.ndarray]:
    """What `write_columns` has written: name -> `(N,)` float64.

    Raises:
        OSError, ValueError: the file cannot be read or is damaged.
    """
    if not file.is_file():  # opening a pipe might never end
        raise ValueError("no file")
    with file.open(newline="", encoding="utf-8") as opened:
        names = [name.removeprefix("'") for name in next(csv.reader(opened), [])]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input contained no data")
            values = np.loadtxt(opened, delimiter=",", ndmin=2, dtype=np.float64)
    return dict(zip(names, values.reshape(-1, len(names)).T, strict=True))


def _harmless(cells: Iterable[Any]) -> list[Any]:
    return [
        cell if isinstance(cell, Number) or cell is None else _text(str(cell)) for cell in cells
    ]


def _text(text: str) -> str:
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula or text.startswith("'") else text
