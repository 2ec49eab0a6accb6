"""Reads a CSV file as text, with the row numbers that an editor shows."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path


def read_table(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The names in the first row, and the cells of each other one by its number in the file.

    UTF-8, separated by comma, semicolon, tab or bar, whichever is most frequent among the names.

    Raises:
        ValueError: it cannot be read, has no rows, a name twice, or a row with more or fewer cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t|", key=first.count))
            lines = {}
            for row in filter(None, reader):
                lines[reader.line_num] = [cell.strip() for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from None
    if len(lines) < 2:
        raise ValueError(f"{path} has no rows below its names")
    names = lines.pop(next(iter(lines)))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{path}, row 1: column {twice[0]!r} is there twice")
    for number, row in lines.items():
        if len(row) != len(names):
            raise ValueError(
                f"{path}, row {number}: {len(row)} cells, but there are {len(names)} columns"
            )
    return names, lines


def listed(names: list[str] | str | None) -> tuple[str, ...]:
    """Names of columns, given as a list or, as is easier on a command line, between commas."""
    if isinstance(names, str):
        names = [name.strip(" []'\"") for name in names.split(",")]
    return tuple(names or ())
