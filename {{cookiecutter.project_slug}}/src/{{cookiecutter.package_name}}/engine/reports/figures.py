"""What an evaluator hands over beside its numbers: tables and figures, as files."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def write_tables(tables: Mapping[str, Iterable[Iterable[Any]]], folder: Path) -> None:
    """Writes each table as CSV, under its name."""
    for name, rows in tables.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def draw_figures(figures: Mapping[str, Callable[[], Any]], folder: Path) -> None:
    """Calls and saves each figure; one that fails costs itself and a line, not the evaluation."""
    for name, draw in figures.items():
        path = folder / name
        try:
            draw().savefig(path, dpi=120)
        except Exception as error:
            path.unlink(missing_ok=True)  # half a picture would mislead
            said = " ".join(f"{type(error).__name__}: {error}".split())
            logger.warning("WARNING: %s could not be drawn (%s)", name, said)
