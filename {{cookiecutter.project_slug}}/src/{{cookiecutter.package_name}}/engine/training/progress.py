"""A progress bar in terminals, a line per epoch everywhere, and the same numbers on record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

from ..processes import say
from ..runs.metrics_file import append_metrics, cut_metrics, restore_metrics
from .train_metrics import TrainMetrics


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, refreshed rarely, gone when done, and only where a terminal shows it.

    Refreshing at every step would cost a fifth of the speed of a small model.

    Args:
        means: has the training metrics to show.
        refresh_rate: in steps.
    """

    def __init__(self, means: TrainMetrics, refresh_rate: int):
        self.means = means
        super().__init__(refresh_rate=refresh_rate, leave=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not sys.stderr.isatty():
            self.disable()
        super().setup(trainer, pl_module, stage)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)  # the logger's version, which a run has none of
        return metrics | self.means.latest


class EpochReport(Callback):
    """Prints one line at the end of an epoch and keeps its metrics in `metrics.jsonl`.

    A checkpoint holds how long that file was. Resuming from it cuts off what was written later, so
    that the file of a resumed run is that of one which was never stopped.

    Args:
        folder: of the run; None: nothing is written.
        log_scalar: called with name, value and step of each metric of the epoch.
    """

    def __init__(self, folder: Path | None, log_scalar: Callable[[str, float, int], None]):
        self.folder, self.log_scalar = folder, log_scalar
        self.size = 0  # of the file, in bytes
        self.history: dict[str, dict[str, list[Any]]] | None = None  # of a checkpoint of 0.4.0

    def __getstate__(self) -> dict[str, Any]:
        # A process that Lightning spawns has no sacred run to pass metrics on to.
        return vars(self) | {"log_scalar": _tell_nobody}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()
        if self.folder and trainer.is_global_zero:
            if self.history is None:
                self.size = cut_metrics(self.folder, self.size)
            else:
                self.size = restore_metrics(self.folder, self.history)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = epoch_metrics(trainer)
        values = metrics | {"epoch": trainer.current_epoch + 1}
        for key, value in values.items():
            self.log_scalar(key, value, trainer.global_step)
        if self.folder and trainer.is_global_zero:
            self.size = append_metrics(self.folder, trainer.global_step, values)
        if trainer.is_global_zero:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in sorted(metrics.items()))
            epochs = f"{trainer.current_epoch + 1}"
            if trainer.max_epochs and trainer.max_epochs > 0:  # else max_steps or max_time ends it
                epochs += f"/{trainer.max_epochs}"
            say(f"epoch {epochs}  {shown}  {time.monotonic() - self.started:.1f} s")

    def state_dict(self) -> dict[str, Any]:
        return {"size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.size, self.history = state_dict.get("size", 0), state_dict.get("history")


def _tell_nobody(name: str, value: float, step: int) -> None:
    pass


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics of the last epoch: where one is logged by step and by epoch, the epoch's mean."""
    return {
        key: float(value)
        for key, value in trainer.callback_metrics.items()
        if not key.endswith(("_step", "_epoch")) and not key.startswith("lr-")
    }
