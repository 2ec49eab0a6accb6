"""The figures that an evaluator hands over, as files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import printable

logger = logging.getLogger(__name__)


def draw_figures(figures: Mapping[str, Callable[[], Any]], folder: Path) -> None:
    """Calls and saves each figure; one that fails costs itself and a line, not the evaluation."""
    for name, draw in figures.items():
        path = folder / name
        try:
            draw().savefig(path, dpi=120)
        except Exception as error:
            path.unlink(missing_ok=True)  # half a picture would mislead
            said = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            logger.warning("WARNING: %s could not be drawn (%s)", name, said)
