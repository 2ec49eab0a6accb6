"""A progress bar in terminals, a line per epoch everywhere, and the same numbers on record."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, TQDMProgressBar
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..processes import say
from ..runs.metrics_file import append_metrics, cut_metrics, read_metrics, restore_metrics
from .train_metrics import TrainMetrics, new_values

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


class EpochReport(Checkpoint):
    """Prints a line at the end of an epoch and keeps its metrics in `metrics.jsonl`.

    Each value stands in the line of the step and the epoch that it belongs to: those of a
    validation within an epoch have a line of their own. A checkpoint holds how long the file was.
    Resuming from it cuts off what was written later, so that the file of a resumed run is that of
    one which was never stopped.

    It is a `Checkpoint` because Lightning calls the `on_train_epoch_end` of these after the
    model's, in which metrics may be logged (`_FitLoop.on_advance_end`, 2.6.6).

    Args:
        folder: of the run; None: nothing is written.
        log_scalar: called with name, value and step of each metric.
        means: has the training metrics.

    Attributes:
        of_epoch: what the validation at the end of the epoch that is ending has measured.
        last: the last value of each metric.
    """

    def __init__(
        self,
        folder: Path | None,
        log_scalar: Callable[[str, float, int], None],
        means: TrainMetrics,
    ):
        self.folder, self.log_scalar, self.means = folder, log_scalar, means
        self.size = 0  # of the file, in bytes
        self.is_cut = True
        self.rates: list[float] = []  # at the beginning of the epoch
        self.watches: list[RemovableHandle] = []
        self.is_zero = self.is_zero_told = False
        self.history: dict[str, dict[str, list[Any]]] | None = None  # of a checkpoint of 0.4.0
        self.of_epoch: dict[str, float] = {}
        self.last: dict[str, float] = {}

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

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        measured = plain_values(new_values(trainer))
        if trainer.is_last_batch:
            self.of_epoch = measured
        elif measured:
            done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
            part = done / trainer.num_training_batches  # 0 where nobody knows how many there are
            self._keep(trainer, measured, trainer.current_epoch + part)
            self._print(trainer, f"step {trainer.global_step}", measured)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        measured, self.of_epoch = self.of_epoch | plain_values(new_values(trainer)), {}
        self.means.log_means(trainer)
        epoch = trainer.current_epoch + 1
        self._keep(trainer, measured, epoch)
        of = ""
        if trainer.max_epochs and trainer.max_epochs > 0:  # else max_steps or max_time ends it
            of = f"/{trainer.max_epochs}"
        rate = shown_rate(self.rates, learning_rates(trainer))
        tail = f"{rate}  {time.monotonic() - self.started:.1f} s"
        self._print(trainer, f"epoch {epoch}{of}", measured, tail)
        self._tell_zero(trainer)

    def _keep(self, trainer: Trainer, measured: dict[str, float], epoch: float) -> None:
        """Writes what was measured now; `epoch`: how many are done."""
        self.last |= measured
        values = measured | {"epoch": epoch}
        for key, value in values.items():
            self.log_scalar(key, value, trainer.global_step)
        if self.folder and trainer.is_global_zero:
            self._cut()
            self.size = append_metrics(self.folder, trainer.global_step, values)

    def _print(
        self, trainer: Trainer, head: str, measured: dict[str, float], tail: str = ""
    ) -> None:
        if trainer.is_global_zero:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in sorted(measured.items()))
            say(f"{head}  {shown}{tail}")

    def state_dict(self) -> dict[str, Any]:
        self._cut()
        return {"size": self.size, "last": self.last, "of_epoch": self.of_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.size, self.history = state_dict.get("size", 0), state_dict.get("history")
        self.last = state_dict.get("last", {})
        self.of_epoch = state_dict.get("of_epoch", {})


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


def plain_values(metrics: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def last_values(trainer: Trainer, folder: Path | None) -> dict[str, float]:
    """The last value of each metric, as they are on record.

    Args:
        trainer: whose training has ended; it may have run in processes that are gone.
        folder: of the run, or None.
    """
    if folder and trainer.is_global_zero:
        table = read_metrics(folder)
        return {name: entry["values"][-1] for name, entry in table.items() if name != "epoch"}
    reports = [c for c in trainer.callbacks if isinstance(c, EpochReport)]  # type: ignore[attr-defined]
    return dict(reports[0].last) if reports else {}
