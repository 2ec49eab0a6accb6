"""The means over an epoch of what `training_step` returns, at hardly any cost per step."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.data import extract_batch_size
from torch import Tensor


class TrainMetrics(Callback):
    """Logs the loss of the training, and each other scalar that `training_step` returns.

    `return loss` gives `train_loss`; `return {"loss": loss, "accuracy": accuracy}` gives
    `train_accuracy` as well. The mean over the examples of an epoch has that name; the value of
    every `log_every_n_steps`-th step has `_step` behind it. With `self.log` in each step a small
    model would spend a fifth of its time on that. A name that the model logs is left to the model.

    Attributes:
        sums: of each metric, times the examples in its batch, in this epoch and process.
        examples: that they are summed over.
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
        count = extract_batch_size(batch)
        self.examples += count
        for name, value in (outputs or {}).items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                continue
            if name in self.sums:
                self.sums[name].add_(value.detach(), alpha=count)
            else:
                self.sums[name] = value.detach().float() * count  # half precision cannot sum
        is_short = trainer.fast_dev_run  # type: ignore[attr-defined]  # Lightning does not declare it
        if trainer._logger_connector.should_update_logs or is_short:
            self._log_step(trainer, outputs)

    def _log_step(self, trainer: Trainer, outputs: dict[str, Any]) -> None:
        loop = trainer.fit_loop
        if loop._should_accumulate():
            return
        for name in self._own(trainer):
            value = trainer.strategy.reduce(outputs[name] * _parts(name, trainer))
            self.latest[f"train_{name}"] = float(value)
        for logger in trainer.loggers:
            values = {f"{name}_step": value for name, value in self.latest.items()}
            logger.log_metrics(values, loop.epoch_loop._batches_that_stepped)
            logger.save()  # before a checkpoint says that this was logged

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name in self._own(trainer):
            total = torch.stack([self.sums[name], torch.full_like(self.sums[name], self.examples)])
            total, examples = trainer.strategy.reduce(total, reduce_op="sum")
            # The same in each process already; `sync_dist` spares us Lightning's advice.
            pl_module.log(f"train_{name}", total / examples * _parts(name, trainer), sync_dist=True)
        self.seen += self.examples
        self.sums, self.examples = {}, 0

    def _own(self, trainer: Trainer) -> list[str]:
        logged = trainer.fit_loop.epoch_loop._results
        return [name for name in self.sums if f"training_step.train_{name}" not in logged]

    def rank_state(self) -> dict[str, Any]:
        """What a checkpoint needs of each process."""
        return {"sums": self.sums, "examples": self.examples, "latest": self.latest}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        self.sums, self.examples, self.latest = (state[key] for key in self.rank_state())
        self.seen = -self.examples


def _parts(name: str, trainer: Trainer) -> int:
    """Lightning divides the loss by the number of batches that a step is accumulated over."""
    return trainer.accumulate_grad_batches if name == "loss" else 1
