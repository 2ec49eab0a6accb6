"""The means over an epoch of what `training_step` returns, at hardly any cost per step."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from .lightning_internals import is_logged_by_model, is_logging_step, logging_step
from .own_loaders import examples_in_training_batch
from .save_points import ends_step


class TrainMetrics(Callback):
    """Logs the training loss, and each other scalar that `training_step` returns.

    `return loss` gives `train_loss`; `return {"loss": loss, "accuracy": accuracy}` gives
    `train_accuracy` as well. The mean over the examples of an epoch has that name; the value of
    every `log_every_n_steps`-th step has `_step` behind it. `self.log` in each step would take a
    fifth of a small model's time. A name that the model logs itself is left to the model.

    Attributes:
        sums: of each metric, weighted by the batch size, in this epoch and process.
        examples: number of examples in the sums.
        seen: examples of this process's epochs so far, without those before it was resumed.
        latest: the values that were logged last, over all processes; the progress bar shows them.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.examples = self.seen = 0
        self.latest: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not outputs:  # a batch that was skipped has no part in the mean
            return
        count = examples_in_training_batch(trainer, batch_idx)
        self.examples += count
        for name, value in outputs.items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                continue
            if name in self.sums:
                self.sums[name].add_(value.detach(), alpha=count)
            else:
                # float32: sums in half precision overflow, or lose the small values.
                self.sums[name] = value.detach().float() * count
        is_trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if ends_step(trainer, batch_idx) and (is_logging_step(trainer) or is_trial):
            self._log_step(trainer, outputs)

    def _log_step(self, trainer: Trainer, outputs: dict[str, Any]) -> None:
        for name in self._own(trainer):
            value = trainer.strategy.reduce(outputs[name] * _parts(name, trainer))
            self.latest[f"train_{name}"] = float(value)
        for logger in trainer.loggers:
            values = {f"{name}_step": value for name, value in self.latest.items()}
            logger.log_metrics(values, logging_step(trainer))
            logger.save()  # before a checkpoint says that this was logged

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name in self._own(trainer):
            total = torch.stack([self.sums[name], torch.full_like(self.sums[name], self.examples)])
            total, examples = trainer.strategy.reduce(total, reduce_op="sum")
            # Already equal in all processes; without `sync_dist`, `_ResultCollection._get_cache`
            # (Lightning 2.6.6) warns.
            mean = total / examples * _parts(name, trainer)
            pl_module.log(f"train_{name}", mean, sync_dist=True)
        self.seen += self.examples
        self.sums, self.examples = {}, 0

    def _own(self, trainer: Trainer) -> list[str]:
        return [name for name in self.sums if not is_logged_by_model(trainer, f"train_{name}")]

    def rank_state(self) -> dict[str, Any]:
        """What a checkpoint holds of each process (`save_points.HasRankState`)."""
        return {"sums": self.sums, "examples": self.examples, "latest": self.latest}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes over what `rank_state` returned in a process that was stopped."""
        self.sums, self.examples, self.latest = (state[key] for key in self.rank_state())
        self.seen = -self.examples


def _parts(name: str, trainer: Trainer) -> int:
    """By how much Lightning has divided a value: only the loss, for accumulated gradients.

    `ClosureResult.from_training_step_output` (loops/optimization/automatic.py, 2.6.6).
    """
    return trainer.accumulate_grad_batches if name == "loss" else 1
