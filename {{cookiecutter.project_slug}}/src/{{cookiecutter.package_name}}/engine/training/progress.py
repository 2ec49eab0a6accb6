"""A progress bar in terminals, a line per epoch everywhere, and the same numbers on record."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..processes import say
from ..runs.metrics_file import append_metrics, cut_metrics, restore_metrics
from .train_metrics import TrainMetrics

logger = logging.getLogger(__name__)


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
        self.is_cut = True
        self.rates: list[float] = []  # at the beginning of the epoch
        self.watches: list[RemovableHandle] = []
        self.is_zero = self.is_zero_told = False
        self.history: dict[str, dict[str, list[Any]]] | None = None  # of a checkpoint of 0.4.0

    def __getstate__(self) -> dict[str, Any]:
        # A process that Lightning spawns has no sacred run to pass metrics on to.
        return vars(self) | {"log_scalar": _tell_nobody}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.rates = time.monotonic(), learning_rates(trainer)
        # Not now: a run that is resumed and does not come to be saved stays as it was.
        self.is_cut = not self.folder or not trainer.is_global_zero

    def _cut(self) -> None:
        if self.folder and not self.is_cut:
            self.is_cut = True
            if self.history is None:
                self.size = cut_metrics(self.folder, self.size)
            else:
                self.size = restore_metrics(self.folder, self.history)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.rates = time.monotonic(), learning_rates(trainer)
        if not any(self.rates) and not self.is_zero_told:
            self._watch(trainer)

    def _watch(self, trainer: Trainer) -> None:
        """Notes whether a step of this epoch has another rate than 0."""
        self.is_zero = bool(self.rates)

        def note(optimizer: Optimizer, *_: object) -> None:
            if any(group["lr"] for group in optimizer.param_groups):
                self.is_zero = False

        self.watches = [o.register_step_pre_hook(note) for o in trainer.optimizers]

    def _tell_zero(self, trainer: Trainer) -> None:
        for watch in self.watches:
            watch.remove()
        if self.watches and self.is_zero:
            self.is_zero_told = True
            if trainer.is_global_zero:
                said = "the learning rate was 0 for the whole epoch: nothing was learnt in it"
                logger.warning("WARNING: %s", said)
        self.watches = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = epoch_metrics(trainer)
        values = metrics | {"epoch": trainer.current_epoch + 1}
        for key, value in values.items():
            self.log_scalar(key, value, trainer.global_step)
        if self.folder and trainer.is_global_zero:
            self._cut()
            self.size = append_metrics(self.folder, trainer.global_step, values)
        if trainer.is_global_zero:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in sorted(metrics.items()))
            epochs = f"{trainer.current_epoch + 1}"
            if trainer.max_epochs and trainer.max_epochs > 0:  # else max_steps or max_time ends it
                epochs += f"/{trainer.max_epochs}"
            shown += shown_rate(self.rates, learning_rates(trainer))
            say(f"epoch {epochs}  {shown}  {time.monotonic() - self.started:.1f} s")
        self._tell_zero(trainer)

    def state_dict(self) -> dict[str, Any]:
        self._cut()
        return {"size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.size, self.history = state_dict.get("size", 0), state_dict.get("history")


def learning_rates(trainer: Trainer) -> list[float]:
    """The learning rate of each group of parameters."""
    return [float(group["lr"]) for o in trainer.optimizers for group in o.param_groups]


def shown_rate(before: list[float], after: list[float]) -> str:
    """The highest learning rate at the beginning of an epoch, and at its end where that differs."""
    if not before or not after:
        return ""
    first, last = (f"{max(rates):.3g}" for rates in (before, after))
    return f"  lr {first}" if first == last else f"  lr {first} to {last}"


def _tell_nobody(name: str, value: float, step: int) -> None:
    pass


def epoch_metrics(trainer: Trainer) -> dict[str, float]:
    """The metrics of the last epoch: where one is logged by step and by epoch, the epoch's mean."""
    return {
        key: float(value)
        for key, value in trainer.callback_metrics.items()
        if not key.endswith(("_step", "_epoch")) and not key.startswith("lr-")
    }
