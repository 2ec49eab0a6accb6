"""A table of one or more series in time order: windows of the past, and what follows them.

The series that ships with this package, and its licence (public domain), are described in
`mauna_loa/SOURCE.md`.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..util.tables import listed, read_table
from . import SplitDataset

MAUNA_LOA = Path(__file__).parent / "mauna_loa" / "co2.csv"
SHARES = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}  # of the time


class TimeSeriesDataset(SplitDataset):
    """Windows `(window, num_series)` float32 and the values that follow `(horizon, num_series)`.

    Values are standardised with mean and deviation of the training split; `to_units` undoes that.
    Training, validation and test are the first 70, the next 10 and the last 20 percent of the
    time. What is to be forecast lies in the split; the window before it may begin earlier, since
    the past is known when a forecast is made.

    Args:
        split: "train", "val" or "test".
        path: your own table, UTF-8, with names in its first row; separated by comma, semicolon, tab
            or bar. None is the bundled one of carbon dioxide at Mauna Loa.
        time: column of numbers or ISO dates, which has to rise in equal steps; None: the rows are
            taken to be equally far apart.
        series: columns to read and to forecast, a list of names or names between commas; None:
            all but `time`.
        window: steps that a model sees.
        horizon: steps that it forecasts.
        season: steps after which the series repeats itself, roughly; 1: it does not.

    Raises:
        ValueError: the table cannot be read, has gaps or disorder in time, a value that is missing
            or not finite, or is too short; names row and column.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        path: str | None = None,
        time: str | None = "date",
        series: list[str] | str | None = None,
        window: int = 104,
        horizon: int = 26,
        season: int = 52,
    ):
        if min(window, horizon, season) < 1:
            raise ValueError(f"window={window}, horizon={horizon}, season={season}: at least 1")
        self._file, self.window, self.horizon, self.season = _file(path), window, horizon, season
        self.series_names, values = _read(self._file, time, listed(series))
        self.num_series = len(self.series_names)
        low, high = (round(share * len(values)) for share in SHARES[split])
        train = values[: round(SHARES["train"][1] * len(values))]
        self.mean, self.scale = train.mean(0), train.std(0, correction=0)
        self.scale[self.scale == 0] = 1.0
        self.values = ((values - self.mean) / self.scale).float()
        first = max(low, window, season)  # place of the first value that can be forecast
        self.starts = torch.arange(first, max(first, high - horizon + 1))
        if not len(self.starts):
            raise ValueError(
                f"{self._file}: its {split} split has {high - low} steps, too few for a window of "
                f"{window}, a season of {season} and a horizon of {horizon}: take smaller ones"
            )
        # Mean error of the seasonal naive forecast within the training split, in units.
        self.naive_error = (train[season:] - train[:-season]).abs().mean(0)

    @classmethod
    def prepare(cls, path: str | None = None) -> dict:
        """Checks that the table is there.

        Raises:
            FileNotFoundError: it is not.
        """
        if not _file(path).is_file():
            raise FileNotFoundError(f"there is no table {path!r}")
        return {}

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: `(B, window, num_series)` and `(B, horizon, num_series)`."""
        starts = self.starts[torch.as_tensor(indices)][:, None]
        return (
            self.values[starts + torch.arange(-self.window, 0)],
            self.values[starts + torch.arange(self.horizon)],
        )

    def seasonal_naive(self) -> Tensor:
        """The forecast that repeats the last season, standardised: `(N, horizon, num_series)`."""
        steps = torch.arange(self.horizon) % self.season - self.season
        return self.values[self.starts[:, None] + steps]

    def to_units(self, values: Tensor) -> Tensor:
        """Standardised values `(..., num_series)` in the units of the table, float64."""
        return values.double() * self.scale + self.mean

    def files(self) -> list[Path]:
        return [self._file]

    def describe(self) -> dict:
        names = ", ".join(self.series_names[:5])
        names += f" and {self.num_series - 5} more" if self.num_series > 5 else ""
        bundled = self._file == MAUNA_LOA
        return {
            "windows": len(self),
            "series": names,
            "table": "bundled CO2 at Mauna Loa" if bundled else str(self._file),
        }


@cache
def _read(path: Path, time: str | None, series: tuple[str, ...]) -> tuple[list[str], Tensor]:
    """The names of the series, and their values `(T, num_series)` float64."""
    names, rows = read_table(path)
    for name in (*([time] if time else ()), *series):
        if name not in names:
            raise ValueError(
                f"{path} has no column {name!r}; it has {', '.join(names)} "
                "(dataset_args.time=None: none of them is the time)"
            )
    if len(rows) < 2:
        raise ValueError(f"{path} has one row only, which is no series")
    if time:
        place = names.index(time)
        _check_steps(path, [(number, row[place]) for number, row in rows.items()], time)
    chosen = list(series or (name for name in names if name != time))
    columns = []
    for name in chosen:
        place, column = names.index(name), []
        for number, row in rows.items():
            try:
                value = float(row[place])
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise ValueError(
                    f"{path}, row {number}, column {name!r}: {row[place]!r} is no finite number: "
                    "fill it in, leave the column out (dataset_args.series), or cut the rows"
                )
            column.append(value)
        columns.append(torch.tensor(column, dtype=torch.float64))
    if not columns:
        raise ValueError(f"{path} has no column beside the time {time!r}")
    return chosen, torch.stack(columns, dim=1)


def _check_steps(path: Path, times: list[tuple[int, str]], name: str) -> None:
    """Refuses gaps and disorder. Equal are also steps from month to month or year to year."""
    moments: list[Any] = []  # all of them numbers, or all dates
    for row, text in times:
        moment = _moment(text)
        if moment is None or (moments and type(moment) is not type(moments[0])):
            raise ValueError(
                f"{path}, row {row}, column {name!r}: {text!r} is no number or ISO date such as "
                "1999-12-31"
            )
        moments.append(moment)
    if isinstance(moments[0], datetime):
        days = [(m - datetime(1, 1, 1)).total_seconds() / 86_400 for m in moments]
        months = [12.0 * m.year + m.month for m in moments]
        by_month = months[1] - months[0] >= 1 and days[1] - days[0] >= 28
        moments, unit = (months, " month(s)") if by_month else (days, " day(s)")
    else:
        unit = ""
    steps = [later - earlier for earlier, later in pairwise(moments)]
    usual = Counter(round(step, 6) for step in steps if step > 0).most_common(1)
    for ((before, earlier), (row, later)), step in zip(pairwise(times), steps):
        if step <= 0:
            raise ValueError(
                f"{path}, row {row}, column {name!r}: {later!r} does not come after {earlier!r} in "
                f"row {before}: sort the rows, and keep one of each time"
            )
        if abs(step - usual[0][0]) > 1e-3 * usual[0][0]:
            raise ValueError(
                f"{path}, row {row}, column {name!r}: from {earlier!r} to {later!r} is a step of "
                f"{step:g}{unit}, but others are {usual[0][0]:g}{unit}: fill the gap, or say that "
                "rows are equally far apart with dataset_args.time=None"
            )


def _moment(text: str) -> datetime | float | None:
    """A date or a number; eight digits in a row are a date if there is such a day."""
    for form in ("%Y%m%d", "%Y-%m") if len(text) in (7, 8) else ():
        try:
            return datetime.strptime(text, form)
        except ValueError:
            pass
    try:
        number = float(text)
        return number if math.isfinite(number) else None
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    except ValueError:
        return None


def _file(path: str | None) -> Path:
    return MAUNA_LOA if path is None else Path(path)
