"""The means over an epoch of what `training_step` returns and logs, at hardly any cost per step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from .lightning_internals import is_logging_step, logging_step
from .lightning_results import logged_names, logged_values, new_step_values, step_metrics
from .own_loaders import examples_in_training_batch
from .save_points import ends_step


class TrainMetrics(Callback):
    """Logs the training loss, and each other scalar that `training_step` returns.

    `return loss` gives `train_loss`; `return {"loss": loss, "accuracy": accuracy}` gives
    `train_accuracy` as well. The mean over the examples of an epoch has that name; the value of
    every `log_every_n_steps`-th step has `_step` behind it. `self.log` in each step would take a
    fifth of a small model's time. A name that the model logs itself is left to the model.

    What the model logs by step only, as `self.log` does by default, has its mean under the name
    that the model gave it.

    Attributes:
        returned: sums of what `training_step` has returned in this epoch and process.
        logged: sums of what was logged by step only, likewise.
        no_scalars: names of what it returns that was once no scalar, and hence is no metric.
        count: examples of the last batch.
        examples: of this epoch and process.
        seen: examples of this process's epochs so far, without those before it was resumed.
        latest: the values that were logged last, over all processes; the progress bar shows them.
        means: of the epoch that is ending, by the names of metrics.
        curves: the same by the names that loggers have for them; the steps are called as before.
    """

    def __init__(self) -> None:
        self.returned, self.logged = Sums(), Sums()
        self.no_scalars: set[str] = set()
        self.count = self.examples = self.seen = 0
        self.latest: dict[str, float] = {}
        self.means: dict[str, Tensor] = {}
        self.curves: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        before, self.count = self.count, examples_in_training_batch(trainer, batch_idx)
        self.examples += self.count
        for name, value, is_late in new_step_values(trainer):
            self.logged.add(name, value, before if is_late else self.count)
        scalars = self._scalars(outputs)
        for name, value in scalars.items():
            self.returned.add(name, value, self.count)
        is_trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if ends_step(trainer, batch_idx) and (is_logging_step(trainer) or is_trial):
            self._log_step(trainer, scalars)

    def _scalars(self, outputs: Any) -> dict[str, Tensor]:
        """What is a metric of what `training_step` has returned."""
        found = {}
        for name, value in (outputs or {}).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                value = torch.tensor(float(value))
            # A column of predictions may be a scalar too, in a batch of one example.
            if isinstance(value, Tensor) and (value.ndim == 0 or name == "loss"):
                found[name] = value.detach()
            else:
                self.no_scalars.add(name)
        if self.no_scalars:
            found = {name: value for name, value in found.items() if name not in self.no_scalars}
        return found

    def _log_step(self, trainer: Trainer, scalars: dict[str, Tensor]) -> None:
        step = Sums()
        for name, value in scalars.items():
            step.add(name, value, 1)
        self.latest |= {name: float(value) for name, value in self._means_of(step, trainer).items()}
        for logger in trainer.loggers:
            values = {f"{name}_step": value for name, value in self.latest.items()}
            logger.log_metrics(values, logging_step(trainer))
            logger.save()  # before a checkpoint says that this was logged

    def _means_of(self, returned: Sums, trainer: Trainer) -> dict[str, Tensor]:
        """Means of what was returned, less what the model logs itself."""
        means = returned.means(trainer, self.no_scalars)
        taken = logged_names(trainer) if means else set()
        return {
            f"train_{name}": mean * _parts(name, trainer)
            for name, mean in means.items()
            if f"train_{name}" not in taken
        }

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._add_late(trainer)

    def _add_late(self, trainer: Trainer) -> None:
        """Adds what the model has logged in its own `on_train_batch_end`."""
        for name, value, _ in new_step_values(trainer):
            self.logged.add(name, value, self.count)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._add_late(trainer)
        of_steps = self.logged.means(trainer) | step_metrics(trainer)
        own = self._means_of(self.returned, trainer)
        self.means = own | of_steps
        # Before the model's own hook, which may read or replace them.
        trainer.callback_metrics.update(self.means)
        trainer.logged_metrics.update(self.means)
        self.curves = own | {f"{name}_epoch": value for name, value in of_steps.items()}
        self.seen += self.examples
        self.returned, self.logged, self.examples = Sums(), Sums(), 0

    def log_means(self, trainer: Trainer) -> None:
        """Passes the means on to the loggers, less what the model's own hook has logged by now."""
        taken = logged_names(trainer)
        values = {n: float(value) for n, value in self.curves.items() if n not in taken}
        for logger in trainer.loggers if values else ():
            # Under the step of Lightning's own metrics of the epoch (`_FitLoop.on_advance_end`).
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, logging_step(trainer) - 1)

    def rank_state(self) -> dict[str, Any]:
        """What a checkpoint holds of each process (`save_points.HasRankState`)."""
        return {
            "returned": self.returned.state(),
            "logged": self.logged.state(),
            "no_scalars": sorted(self.no_scalars),
            "count": self.count,
            "examples": self.examples,
            "latest": self.latest,
        }

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes over what `rank_state` returned in a process that was stopped."""
        examples: int = state["examples"]
        if "sums" in state:  # version 0.4.0 and before: of all examples
            counts = dict.fromkeys(state["sums"], examples)
            state = state | {"returned": {"sums": state["sums"], "counts": counts}}
        self.returned, self.logged = Sums(**state["returned"]), Sums(**state.get("logged", {}))
        self.no_scalars = set(state.get("no_scalars", ()))
        self.count, self.latest = state.get("count", 0), state["latest"]
        self.examples, self.seen = examples, -examples


class Sums:
    """Sums of metrics over the examples of those batches that had them.

    Args:
        sums: of each metric, weighted by the examples.
        counts: how many examples these are.
    """

    def __init__(
        self, sums: dict[str, Tensor] | None = None, counts: dict[str, int] | None = None
    ) -> None:
        self.sums, self.counts = sums or {}, counts or {}

    def add(self, name: str, value: Tensor, count: int) -> None:
        """Adds the mean over the examples of a batch."""
        if name in self.sums:
            self.sums[name].add_(value.reshape(()), alpha=count)
            self.counts[name] += count
        else:
            # float32: sums in half precision overflow, or lose the small values.
            self.sums[name] = value.reshape(()).float() * count
            self.counts[name] = count

    def means(self, trainer: Trainer, left_out: Iterable[str] = ()) -> dict[str, Tensor]:
        """The means over all processes, in each of them; not of what one of them leaves out."""
        names = _everywhere(trainer, self.sums.keys(), set(left_out))
        if not names:
            return {}
        zero = torch.zeros((), device=trainer.strategy.root_device)
        table = torch.stack(
            [self.sums.get(name, zero).to(zero.device) for name in names]
            + [torch.full_like(zero, self.counts.get(name, 0)) for name in names]
        )
        sums, counts = trainer.strategy.reduce(table, reduce_op="sum").reshape(2, -1)
        return dict(zip(names, (sums / counts).unbind()))

    def state(self) -> dict[str, Any]:
        """The arguments of one that goes on from here."""
        return {"sums": self.sums, "counts": self.counts}


def new_values(trainer: Trainer) -> dict[str, Tensor]:
    """What was measured in the validation, or training epoch, that is ending.

    For `Callback.on_validation_end`, and the `on_train_epoch_end` of a `Checkpoint` or
    `EarlyStopping`: only these come after the model's own (`_FitLoop.on_advance_end`, 2.6.6).
    """
    values = logged_values(trainer)
    if not trainer.validating:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TrainMetrics):
                values = callback.means | values
    return values


def _everywhere(trainer: Trainer, names: Iterable[str], left_out: set[str]) -> list[str]:
    """The names of all processes, in the same order in each of them."""
    of_all: list[Any] = [(set(names), left_out)] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(of_all, of_all[0])
    every = set().union(*(names for names, _ in of_all))
    return sorted(every.difference(*(left_out for _, left_out in of_all)))


def _parts(name: str, trainer: Trainer) -> int:
    """By how much Lightning has divided a value: only the loss, for accumulated gradients.

    `ClosureResult.from_training_step_output` (loops/optimization/automatic.py, 2.6.6).
    """
    return trainer.accumulate_grad_batches if name == "loss" else 1
