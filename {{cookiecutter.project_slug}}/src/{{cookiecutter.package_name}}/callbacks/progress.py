"""A bar for a person, a line per epoch for everyone, and the same numbers for the record."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, refreshed rarely, gone when done, and only where a terminal shows it.

    Refreshing at every step would cost a fifth of the speed of a small model.
    """

    def __init__(self, refresh_rate: int):
        super().__init__(refresh_rate=refresh_rate, leave=False)

    def setup(self, trainer, pl_module, stage):
        if not sys.stderr.isatty():
            self.disable()
        super().setup(trainer, pl_module, stage)

    def get_metrics(self, trainer, pl_module):
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class EpochReport(Callback):
    """Prints one line at the end of an epoch and keeps its metrics in the run's record.

    Args:
        log_scalar: called with name, value and step of each metric of the epoch.
    """

    def __init__(self, log_scalar: Callable[[str, float, int], None]):
        self.log_scalar = log_scalar

    def on_train_epoch_start(self, trainer, pl_module):
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer, pl_module):
        metrics = epoch_metrics(trainer)
        for key, value in metrics.items():
            self.log_scalar(key, value, trainer.global_step)
        if trainer.is_global_zero:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in sorted(metrics.items()))
            epochs = f"{trainer.current_epoch + 1}"
            if trainer.max_epochs > 0:  # else other limits end the training
                epochs += f"/{trainer.max_epochs}"
            print(f"epoch {epochs}  {shown}  {time.monotonic() - self.started:.1f} s", flush=True)


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics of the last epoch: where one is logged by step and by epoch, the epoch's mean."""
    return {
        key: float(value)
        for key, value in trainer.callback_metrics.items()
        if not key.endswith(("_step", "_epoch")) and not key.startswith("lr-")
    }
