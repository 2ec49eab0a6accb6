"""All runs of a folder, those that are damaged named."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from ..errors import UserError
from ..runs.finding import every_run
from ..runs.stored import Run
from .outcome import Outcome, read_outcome


def sound_runs(log_dir: str) -> list[Run]:
    """Every run, oldest first; one whose folder is damaged is named on stderr and left out."""
    found = []
    for path, run in every_run(log_dir):
        if (path / "checkpoints").is_symlink():
            run = UserError(f"{path / 'checkpoints'} is a link, maybe out of the run's folder")
        if isinstance(run, UserError):
            _complain(run)
        else:
            found.append(run)
    return found


def outcomes(found: Iterable[Run]) -> Iterator[Outcome]:
    for run in found:
        try:
            yield read_outcome(run)
        except UserError as error:
            _complain(error)


def _complain(error: UserError) -> None:
    print(f"UserError: {error}", file=sys.stderr)
