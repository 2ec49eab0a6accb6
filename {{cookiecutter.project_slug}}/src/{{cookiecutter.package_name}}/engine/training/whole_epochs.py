"""An epoch that ends before its last batch is no success."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UserError


class WholeEpochs(Callback):
    """Refuses what Lightning takes for the end of the data: a StopIteration from somewhere else.

    `_TrainingEpochLoop.run` and `_EvaluationLoop.run` (2.6) end an epoch on each StopIteration, as
    `next(iterator)` raises it in a model or a dataset when its iterator is used up.
    """

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = 0

    def on_validation_batch_end(self, *_: Any) -> None:
        self.validated += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        asked = (
            trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        )
        total = sum(asked)
        if self.validated < total < float("inf"):
            raise _ended_early("the validation", self.validated, total)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop
        batches: Any = loop.batch_progress.current  # Lightning's annotation lacks two of four
        # Where the model ends an epoch itself (`on_train_batch_start` returns -1), a batch counts
        # as processed that was never started.
        if batches.started > batches.processed or not loop.done:
            number = f"epoch {trainer.current_epoch + 1}"
            raise _ended_early(number, batches.processed, trainer.num_training_batches)


def _ended_early(what: str, done: int, total: float) -> UserError:
    return UserError(
        f"{what} ended after {done} of {total} batches: the model or the dataset raised "
        "StopIteration, as `next` does with an iterator that is used up"
    )
