"""A training that ends within an epoch is saved so that it can go on there.

`max_steps`, `max_time` and early stopping end a training behind any batch. Lightning then ends the
epoch as if it were over, and validates where a validation was not due. Made longer on resume, the
training goes on with the next batch, as one does that was as long from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytorch_lightning import Callback, LightningModule, Trainer

from ..runs.checkpoint_file import RESUME_STATE, name_as_well, read_checkpoint
from .lightning_restart import is_validation_due, log_one_step_later, within_epoch
from .save_points import SavePoint

if TYPE_CHECKING:
    from .checkpoints import Checkpoints  # which imports `add_end` from here


class EndWithinEpoch(Callback):
    """The first callback: saves a training that ends within an epoch before the others end it.

    Args:
        checkpoints: of the run.
    """

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.should_stop and not trainer.sanity_checking and not is_validation_due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        saves = self.checkpoints
        if trainer.is_last_batch or not saves.position.stepped or saves.ended_within_epoch:
            return
        with within_epoch(trainer):
            saves.save(trainer, SavePoint.BATCH)
        saves.ended_within_epoch = True
        log_one_step_later(trainer)


def add_end(checkpoints: Checkpoints, trainer: Trainer) -> None:
    """Adds the metrics and the best score of the end to the checkpoint that was saved before it."""
    is_trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
    if not checkpoints.folder or is_trial or not trainer.is_global_zero:
        return
    last = checkpoints.folder / "last.ckpt"
    content = read_checkpoint(last)
    content[RESUME_STATE]["end_metrics"] = dict(trainer.callback_metrics)
    content["callbacks"][checkpoints.state_key] = checkpoints.state_dict()
    best, is_saved = checkpoints.folder / "best.ckpt", checkpoints.best.is_saved
    trainer.strategy.checkpoint_io.save_checkpoint(content, last if is_saved else best)
    if not is_saved:
        name_as_well(best, last)
        checkpoints.best.is_saved = True
