"""Which checkpoint of a run is the best, also by the names that Lightning has for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning.callbacks import Checkpoint
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


class LightningsNames(Checkpoint):
    """What models and callbacks ask `Trainer.checkpoint_callback` for, as ModelCheckpoint has it.

    Attributes:
        folder: of the checkpoints; None: nothing is saved.
        best: the best score so far.
    """

    folder: Path | None
    best: BestScore

    @property
    def monitor(self) -> str:
        return self.best.monitor

    @property
    def dirpath(self) -> str | None:
        return str(self.folder.resolve()) if self.folder else None

    @property
    def best_model_path(self) -> str:
        """The path of `best.ckpt`, or "" before there is one."""
        return self._path("best.ckpt")

    @best_model_path.setter
    def best_model_path(self, path: str) -> None:
        """Nothing: what a spawned process found (`_recover_results_in_main_process`, 2.6.6)."""

    @property
    def last_model_path(self) -> str:
        """The path of `last.ckpt`, or "" before there is one."""
        return self._path("last.ckpt")

    @property
    def best_model_score(self) -> Tensor | None:
        return None if self.best.score is None else torch.tensor(self.best.score)

    def _path(self, name: str) -> str:
        path = self.folder and self.folder.resolve() / name
        return str(path) if path and path.is_file() else ""
