"""How a run went, as its folder tells. Without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..config.compose import flat
from ..config.plain_values import with_lists
from ..runs.evaluations import Evaluation, evaluations
from ..runs.files import reading
from ..runs.metrics_file import metrics_file, read_metrics
from ..runs.stored import Run
from .csv_files import read_columns


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        configured: dotted key -> value: the configuration.
        settings: dotted key -> value: the configuration, with every default of model and dataset
            spelled out, and what the data were.
        curves: metric -> a (epoch, value) for each time that it was measured.
        epochs: epochs done.
        best: best value of the monitored metric so far, or NaN.
        seconds: duration of all attempts together.
        evaluation: the newest finished one, or None.
    """

    run: Run
    status: str
    configured: dict[str, object]
    settings: dict[str, object]
    curves: dict[str, list[tuple[float, float]]]
    epochs: int
    best: float
    seconds: float
    evaluation: Evaluation | None

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def monitor(self) -> str:
        monitor: str = self.run.config["monitor"]
        return monitor

    @property
    def last(self) -> dict[str, float]:
        """Metric of the training -> its last value."""
        return {name: points[-1][1] for name, points in self.curves.items() if points}

    @property
    def results(self) -> dict[str, float]:
        """Of the newest finished evaluation."""
        return self.evaluation.results if self.evaluation else {}

    @property
    def is_outdated(self) -> bool:
        """Whether the checkpoint that was evaluated has been replaced since."""
        return self.evaluation is not None and not self.evaluation.is_current

    @property
    def scores(self) -> dict[str, float]:
        """Best, last and test values, by names that tell which is which."""
        last = {f"last {name}": value for name, value in self.last.items()}
        return {f"best {self.monitor}": self.best} | last | self.results


def read_outcome(run: Run) -> Outcome:
    """Reads how a run went.

    Raises:
        UserError: a file is not what a run writes; it is named.
    """
    known = ("model_args", "dataset_args", "data", "fingerprint")
    with reading(run.path / "config.json"):
        configured = settings(run.config)
        resolved = configured | settings({k: run.info.get(k, {}) for k in known})
    with reading(metrics_file(run.path)):
        curves, epochs = _curves(read_metrics(run.path))
    with reading(run.path / "run.json"):
        status, seconds, best = run.status, _seconds(run), run.best
    if math.isnan(best):  # it has not ended
        values = [value for _, value in curves.get(run.config["monitor"], ()) if value == value]
        choose = max if run.config.get("monitor_mode") == "max" else min
        best = choose(values, default=math.nan)
    evaluation = next(evaluations(run), None)
    return Outcome(run, status, configured, resolved, curves, epochs, best, seconds, evaluation)


def settings(config: Mapping[str, Any]) -> dict[str, object]:
    """A configuration as dotted key -> value, less what does not tell runs apart."""
    return {
        key: value
        for key, value in flat(with_lists(config)).items()
        if key != "log_dir" and value != {}
    }


def _curves(
    table: dict[str, dict[str, list[Any]]],
) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """The metrics over the epochs, and how many of these were done."""
    metrics = {
        name: list(zip(entry["steps"], map(float, entry["values"]), strict=True))
        for name, entry in table.items()
    }
    epoch_at = dict(metrics.pop("epoch", ()))
    curves = {
        name: [(epoch_at.get(step, i), value) for i, (step, value) in enumerate(points, 1)]
        for name, points in metrics.items()
    }
    longest = max(map(len, curves.values()), default=0)
    return curves, int(list(epoch_at.values())[-1]) if epoch_at else longest


def _seconds(run: Run) -> float:
    """Duration of all attempts together; of one that did not see its end, until the last sign."""
    total = 0.0
    for attempt in run.attempts:
        start, stop = attempt["start_time"], attempt["stop_time"]
        if not stop and attempt is run.attempts[-1]:
            stop = run.record.get("heartbeat")
        if start and stop:
            passed = datetime.fromisoformat(stop) - datetime.fromisoformat(start)
            total += max(0.0, passed.total_seconds())
    return total


def read_per_example(file: Path) -> dict[str, np.ndarray]:
    """Metric -> a number for each test example, `(N,)` float64."""
    with reading(file):
        return read_columns(file)
