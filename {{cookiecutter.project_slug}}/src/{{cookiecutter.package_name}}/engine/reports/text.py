"""Values, durations and tables as text for a terminal."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence

from ..errors import printable


def as_text(value: object) -> str:
    """A value of a configuration as one types it, on one line and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"))


def number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def mean_and_spread(values: Sequence[float], plus_minus: str = "+-") -> str:
    """Mean, standard deviation (n - 1) and n of a score over the seeds; a single value as it is."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    mean = sum(values) / len(values)
    spread = math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
    return f"{number(mean)} {plus_minus} {number(spread)} ({len(values)})"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 05 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def aligned(rows: list[list[str]], width: int | None = None) -> str:
    """A table of text; the last column is cut where a line is longer than `width`."""
    *widths, _ = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = sum(widths) + 2 * len(widths)  # where the last column begins
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    if width is not None:
        cut = max(width, last + len("..."))
        lines = [line if len(line) <= cut else line[: cut - 3] + "..." for line in lines]
    return "\n".join(lines)


def terminal_width() -> int | None:
    """Of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
