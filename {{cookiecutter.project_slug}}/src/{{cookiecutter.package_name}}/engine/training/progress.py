"""A bar for a person, a line per epoch for everyone, and the same numbers for the record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

from ..runs.files import write_json
from .train_metrics import TrainMetrics


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, refreshed rarely, gone when done, and only where a terminal shows it.

    Refreshing at every step would cost a fifth of the speed of a small model.

    Args:
        means: has the values of the training to show.
        refresh_rate: in steps.
    """

    def __init__(self, means: TrainMetrics, refresh_rate: int):
        self.means = means
        super().__init__(refresh_rate=refresh_rate, leave=False)

    def setup(self, trainer, pl_module, stage):
        if not sys.stderr.isatty():
            self.disable()
        super().setup(trainer, pl_module, stage)

    def get_metrics(self, trainer, pl_module):
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics | self.means.latest


class EpochReport(Callback):
    """Prints one line at the end of an epoch and keeps its metrics in `metrics.json`.

    The metrics are in each checkpoint as well, so that the file of a resumed run is that of one
    which was never stopped.

    Args:
        folder: of the run; None: nothing is written.
        log_scalar: called with name, value and step of each metric of the epoch.
    """

    def __init__(self, folder: Path | None, log_scalar: Callable[[str, float, int], None]):
        self.folder, self.log_scalar = folder, log_scalar
        self.history: dict[str, dict[str, list]] = {}

    def __getstate__(self):
        # A process that Lightning spawns has no sacred run to tell anything.
        return vars(self) | {"log_scalar": _tell_nobody}

    def on_train_start(self, trainer, pl_module):
        self.started = time.monotonic()
        self._write(trainer)  # of a resumed run without what came after the checkpoint

    def on_train_epoch_start(self, trainer, pl_module):
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer, pl_module):
        metrics, now = epoch_metrics(trainer), datetime.now(timezone.utc)
        for key, value in (metrics | {"epoch": trainer.current_epoch + 1}).items():
            self.log_scalar(key, value, trainer.global_step)
            entry = self.history.setdefault(key, {"values": [], "steps": [], "timestamps": []})
            entry["values"].append(value)
            entry["steps"].append(trainer.global_step)
            entry["timestamps"].append(now.replace(tzinfo=None).isoformat())  # as sacred's
        self._write(trainer)
        if trainer.is_global_zero:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in sorted(metrics.items()))
            epochs = f"{trainer.current_epoch + 1}"
            if trainer.max_epochs > 0:  # else other limits end the training
                epochs += f"/{trainer.max_epochs}"
            print(f"epoch {epochs}  {shown}  {time.monotonic() - self.started:.1f} s", flush=True)

    def _write(self, trainer: Trainer) -> None:
        if self.folder and trainer.is_global_zero:
            write_json(self.folder / "metrics.json", self.history)

    def state_dict(self) -> dict:
        return {"history": self.history}

    def load_state_dict(self, state: dict) -> None:
        self.history = state["history"]


def _tell_nobody(name: str, value: float, step: int) -> None:
    pass


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics of the last epoch: where one is logged by step and by epoch, the epoch's mean."""
    return {
        key: float(value)
        for key, value in trainer.callback_metrics.items()
        if not key.endswith(("_step", "_epoch")) and not key.startswith("lr-")
    }
