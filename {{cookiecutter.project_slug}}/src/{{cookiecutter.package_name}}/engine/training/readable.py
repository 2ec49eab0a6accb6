"""Finds out at the first step whether the checkpoints of a training could be read back."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import Strategy

from ..runs.checkpoint_file import AtomicCheckpointIO
from .checkpoints import checkpoint_folder


class ReadableCheckpoints(Callback):
    """Goes through what a checkpoint would hold as soon as the optimizer has made a step.

    An epoch may take days, and the first checkpoint is written at its end.

    Raises:
        UserError: from the hook; names the value, and what to write in its stead.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.global_step:
            return
        # Lightning passes over what is not callable: no later step pays for this one.
        vars(self)["on_train_batch_end"] = None
        files: Any = trainer.strategy.checkpoint_io
        writes_itself = type(trainer.strategy).save_checkpoint is not Strategy.save_checkpoint
        folder = checkpoint_folder(trainer)
        if folder and isinstance(files, AtomicCheckpointIO) and not writes_itself:
            with files.only_checking():
                trainer.save_checkpoint(folder / "last.ckpt")
