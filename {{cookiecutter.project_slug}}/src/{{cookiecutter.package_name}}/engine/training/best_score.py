"""Which checkpoint of a run is the best."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class BestScore:
    """The best score so far, and whether the checkpoint that has it is on disk.

    Attributes:
        monitor: metric that is compared.
        mode: "min" or "max": what is better.
        score: None before there is one.
        is_saved: `best.ckpt` has this score.
    """

    monitor: str
    mode: str
    score: float | None = None
    is_saved: bool = True

    def begin_anew(self) -> None:
        """Forgets a score of another metric or of other data."""
        self.score, self.is_saved = None, True

    def judge(self, metrics: dict[str, Tensor]) -> None:
        """Takes over the current score if it is better; never NaN."""
        if (metric := metrics.get(self.monitor)) is None or metric.isnan():
            return
        score, best = float(metric), self.score
        is_best = best is None or (score < best) == (self.mode == "min")
        if is_best and score != best:
            self.score, self.is_saved = score, False
