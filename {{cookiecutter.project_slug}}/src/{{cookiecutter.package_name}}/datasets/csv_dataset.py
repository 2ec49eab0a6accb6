"""A table of your own: numbers, categories, missing values; predicts one of its columns.

The penguins that ship with this package, and their licence (CC0), are described in
`penguins/SOURCE.md`.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..util.splits import drawn
from ..util.tables import listed, read_table
from . import SplitDataset

PENGUINS = Path(__file__).parent / "penguins" / "penguins.csv"
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the rows
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # in any case of letters


class CSVDataset(SplitDataset):
    """Rows of a table `(F,)` float32 and one of its columns: a class int64, or a number float32.

    The features are first the numbers, standardised; then, for each number that is missing at
    times, 1 where it is (and 0 in its place: the mean); then the categories as whole numbers, 0
    for one that the training has not seen. A number to be predicted is standardised as well, and
    `to_units` undoes that. A column is one of numbers if all of its values are numbers.

    Rows are split by a hash of all that is in them, whatever is used of it: equal rows are in one
    split, and more rows change nothing for those that were there. Rows without a target are left
    out.

    Args:
        split: "train", "val" or "test": 60, 20 and 20 percent of the rows.
        path: your own table, UTF-8, with names in its first row; separated by comma, semicolon, tab
            or bar. None is the bundled one of penguins.
        target: name of the column to predict.
        categories: columns of numbers that are meant as categories or classes; a list of names, or
            names between commas.
        ignore: columns to leave out; likewise.
        test_path: a table with the test rows; `path` then has the training and validation rows.
        statistics: what the training rows say about the columns; None: it is found out. A run
            records it, so that a table is always read as the model has learnt it.

    Raises:
        ValueError: the table cannot be read or is not what the arguments say; names row and column.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        path: str | None = None,
        target: str = "species",
        categories: list[str] | str | None = None,
        ignore: list[str] | str | None = None,
        test_path: str | None = None,
        statistics: dict | None = None,
    ):
        own = test_path if split == "test" and test_path else path
        table = _table(_file(own), target, listed(categories), listed(ignore))
        if statistics is None:
            statistics = self.prepare(path, target, categories, ignore, test_path)["statistics"]
        rows = table.rows(split, test_path is not None)
        if not rows:
            raise ValueError(f"{table.path}: no row falls into the {split} split: take more rows")
        self.path, self._file, self.num_rows = path, table.path, len(rows)
        self.target, self.without_target = target, table.without_target
        numbers, known = statistics["numbers"], statistics["categories"]
        columns = [table.standardised(name, rows, *numbers[name][:2]) for name in numbers]
        missing = [column.isnan() for column in columns]
        columns = [column.nan_to_num(0.0) for column in columns]
        gaps = [name for name in numbers if numbers[name][2]]
        columns += [gap.float() for name, gap in zip(numbers, missing) if name in gaps]
        codes = [table.codes(name, rows, known[name]) for name in known]
        self.unknown = {n: int((c == 0).sum()) for n, c in zip(known, codes) if (c == 0).any()}
        self.features = torch.stack(columns + [code.float() for code in codes], dim=1)
        self.feature_names = [*numbers, *(f"{name} is missing" for name in gaps), *known]
        self.num_numbers = len(columns)
        self.category_sizes = [len(values) + 1 for values in known.values()]
        self.class_names = statistics["classes"]
        self.num_classes = self.class_names and len(self.class_names)  # None: a number
        mean, scale = statistics["target"] or (0.0, 1.0)
        self.target_mean: float = mean
        self.target_scale: float = scale
        if self.class_names:
            self.targets = table.codes(target, rows, self.class_names) - 1
            if (self.targets < 0).any():
                row = rows[int(self.targets.argmin())]
                raise ValueError(
                    f"{table.at(row, target)}: class {table.cells[row][target]!r} is not among "
                    f"those of the training: {', '.join(self.class_names)}"
                )
        else:
            self.targets = table.standardised(target, rows, *statistics["target"])

    @classmethod
    def prepare(
        cls,
        path: str | None = None,
        target: str = "species",
        categories: list[str] | str | None = None,
        ignore: list[str] | str | None = None,
        test_path: str | None = None,
        statistics: dict | None = None,
    ) -> dict:
        """Checks that the table is there; settles what is known of its columns.

        Raises:
            FileNotFoundError: it is not there.
        """
        for name in filter(None, (path, test_path)):
            if not Path(name).is_file():
                raise FileNotFoundError(f"there is no table {name!r}")
        table = _table(_file(path), target, listed(categories), listed(ignore))
        return {"statistics": statistics or table.statistics(test_path is not None)}

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.features[index], self.targets[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: features `(B, F)` and targets `(B,)`."""
        return self.features[indices], self.targets[indices]

    def to_units(self, targets: Tensor) -> Tensor:
        """Standardised numbers in the units of the table."""
        return targets * self.target_scale + self.target_mean

    def files(self) -> list[Path]:
        return [self._file]

    def describe(self) -> dict:
        facts = {"rows": len(self), "features": len(self.feature_names), "target": self.target}
        facts["table"] = "bundled penguins" if self._file == PENGUINS else str(self._file)
        if self.without_target:
            facts["left out without a target"] = self.without_target
        for name, count in self.unknown.items():
            facts[f"unknown {name}"] = count
        return facts


class _Table:
    """A CSV file, read as text, and its columns as numbers or categories."""

    def __init__(self, path: Path, target: str, categories: tuple, ignore: tuple):
        self.path, self.target = path, target
        names, lines = read_table(path)
        for name in (target, *categories, *ignore):
            if name not in names:
                raise ValueError(f"{path} has no column {name!r}; it has {', '.join(names)}")
        kept = [name for name in names if name not in ignore or name == target]
        places = [names.index(name) for name in kept]
        rows = {n: dict(zip(kept, (line[i] for i in places))) for n, line in lines.items()}
        self.cells = {n: row for n, row in rows.items() if row[target].lower() not in MISSING}
        self.without_target = len(rows) - len(self.cells)
        self.all_cells = {n: "\0".join(lines[n]) for n in self.cells}
        self.numbers = {name for name in kept if name not in categories and self._is_number(name)}
        self.names = [name for name in kept if name != target]
        if not self.names:
            raise ValueError(f"{self.path} has no column beside the target {self.target!r}")

    def _is_number(self, name: str) -> bool:
        values = {n: row[name] for n, row in self.cells.items() if row[name].lower() not in MISSING}
        words = {n: value for n, value in values.items() if _number(value) is None}
        if 0 < len(words) < len(values) / 2:
            row, word = next(iter(words.items()))
            raise ValueError(
                f"{self.at(row, name)}: {word!r} is no number, but most others are: mend it, or "
                f"say that they are categories: dataset_args.categories={name!r}"
            )
        for row, value in values.items():
            if not words and not math.isfinite(float(value)):
                raise ValueError(f"{self.at(row, name)}: {value!r} is not finite")
        return not words

    def at(self, row: int, name: str) -> str:
        return f"{self.path}, row {row}, column {name!r}"

    def rows(self, split: str, has_test: bool) -> list[int]:
        """The rows of a split, by the numbers that an editor shows."""
        if has_test and split == "test":
            return list(self.cells)
        shares = {k: v for k, v in SHARES.items() if k != "test" or not has_test}
        return [n for n, text in self.all_cells.items() if drawn(text, shares) == split]

    def statistics(self, has_test: bool) -> dict:
        """What the training rows say about each column, as plain values."""
        rows = self.rows("train", has_test)
        if len(rows) < 2:
            raise ValueError(f"{self.path}: too few rows to train on")
        found: dict[str, Any] = {"numbers": {}, "categories": {}, "classes": None, "target": None}
        for name in self.names:
            if name in self.numbers:
                column = self.standardised(name, rows)
                found["numbers"][name] = [*_mean_and_scale(column), bool(column.isnan().any())]
            else:
                values = sorted({self._category(row, name) for row in rows})
                if len(rows) > 20 and len(values) > len(rows) / 2:
                    raise ValueError(
                        f"{self.path}: column {name!r} has {len(values)} different values in "
                        f"{len(rows)} training rows and tells nothing: leave it out with "
                        f"dataset_args.ignore={name!r}"
                    )
                found["categories"][name] = values
        if self.target in self.numbers:
            found["target"] = _mean_and_scale(self.standardised(self.target, rows))
        else:
            found["classes"] = sorted({row[self.target] for row in self.cells.values()})
            if len(found["classes"]) == 1:
                raise ValueError(
                    f"{self.path}, column {self.target!r}: one class only, "
                    f"{found['classes'][0]!r}: there is nothing to tell apart"
                )
            if len(found["classes"]) > len(self.cells) / 2:
                raise ValueError(
                    f"{self.path}, column {self.target!r}: {len(found['classes'])} classes in "
                    f"{len(self.cells)} rows: it is neither a number nor a class"
                )
        return found

    def _category(self, row: int, name: str) -> str:
        value = self._cell(row, name)
        return "" if value.lower() in MISSING else value

    def _cell(self, row: int, name: str) -> str:
        if name not in self.cells[row]:
            raise ValueError(f"{self.path} has no column {name!r}, which the model needs")
        return self.cells[row][name]

    def standardised(self, name: str, rows: list[int], mean=0.0, scale=1.0) -> Tensor:
        """A column of numbers `(N,)` float32, in units of `scale` from `mean`; NaN: missing."""
        values = []
        for row in rows:
            cell = self._cell(row, name)
            value = math.nan if cell.lower() in MISSING else _number(cell)
            if value is None or math.isinf(value):
                raise ValueError(f"{self.at(row, name)}: {cell!r} is no number")
            values.append(value)
        return torch.tensor(values, dtype=torch.float64).sub(mean).div(scale).float()

    def codes(self, name: str, rows: list[int], known: list[str]) -> Tensor:
        """A column of categories `(N,)` int64: 1 and up as in `known`, 0 for others."""
        code = {value: number for number, value in enumerate(known, start=1)}
        return torch.tensor([code.get(self._category(row, name), 0) for row in rows])


_table = cache(_Table)


def _file(path: str | None) -> Path:
    return PENGUINS if path is None else Path(path)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _mean_and_scale(column: Tensor) -> list[float]:
    """Mean and standard deviation of what is not missing; the latter 1 where nothing varies."""
    there = column[~column.isnan()].double()
    if not len(there):
        return [0.0, 1.0]
    return [there.mean().item(), there.std(correction=0).item() or 1.0]
