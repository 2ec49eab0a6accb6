"""All runs of a folder, those that are damaged named."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UserError
from ..runs.finding import each_run, every_run
from ..runs.stored import Run
from .outcome import Outcome, read_outcome


def sound_runs(log_dir: str) -> list[Run]:
    """Every run, oldest first; one whose folder is damaged is named on stderr and left out."""
    return list(_sound(every_run(log_dir)))


def every_outcome(log_dir: str) -> Iterator[Outcome]:
    """How each of them went, by name: what is read of one is dropped before the next is read."""
    return outcomes(_sound(each_run(log_dir)))


def _sound(runs: Iterable[tuple[Path, Run | UserError]]) -> Iterator[Run]:
    for path, run in runs:
        if (path / "checkpoints").is_symlink():
            run = UserError(f"{path / 'checkpoints'} is a link, maybe out of the run's folder")
        if isinstance(run, UserError):
            _complain(run)
        else:
            yield run


def outcomes(found: Iterable[Run]) -> Iterator[Outcome]:
    for run in found:
        try:
            yield read_outcome(run)
        except UserError as error:
            _complain(error)


def _complain(error: UserError) -> None:
    print(f"UserError: {error}", file=sys.stderr)
