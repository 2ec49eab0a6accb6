"""`train reproduce`: trains a stored run again, and says whether the result is the same."""

from __future__ import annotations

from pathlib import Path

from ..config.invocation import current
from ..processes import say


def reproduce(run: str | int, log_dir: str) -> dict[str, bool]:
    """Trains a stored run again (with run=3), and says whether the result is the same."""
    from ..reports.reproduction import compare_reproduction

    invocation = current()
    experiment, original = invocation.experiment, invocation.reproduced
    experiment.commands["train"]()
    experiment.info["reproduces"] = original.name
    folder = Path(experiment.current_run.observers[0].dir)
    identical, lines = compare_reproduction(original, folder, experiment.info)
    say("\n".join(lines))
    return {"identical": identical}
