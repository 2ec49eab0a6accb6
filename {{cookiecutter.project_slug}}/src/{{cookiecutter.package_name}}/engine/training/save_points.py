"""The points of a training run at which a checkpoint can be saved that resumes to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning import Trainer

from ..runs.checkpoint_file import name_as_well


class SavePoint(str, Enum):
    """Where a checkpoint was saved. The values stand in checkpoint files.

    Lightning does not save the states of the random number generators or metrics that are summed
    over part of an epoch, and it saves at points where these do not match its own progress. At
    three points all of them can be made to agree:

    point      | hook that saves         | may save                      | what is stored
    -----------|-------------------------|-------------------------------|-----------------------
    EPOCH      | on_train_epoch_start    | always                        | random states as they
               |                         |                               | are; no sums, because
               |                         |                               | all has been logged
    END        | on_train_end            | where an epoch has ended      | the same
    BATCH      | on_train_batch_start of | time, a signal or a new best  | random states as of
               | the next batch          | score makes it due, and no    | on_train_batch_end or
               |                         | gradients are accumulated     | on_validation_end; sums
               | on_train_epoch_end      | where the training ends       |
               | (before all others), or | within an epoch               |
               | on_validation_start     |                               |
    VALIDATION | on_validation_batch_end | a signal asks to stop, and no | random states as of
               |                         | gradients are accumulated     | on_validation_start;
               |                         |                               | sums

    Resuming from VALIDATION runs the validation again as a whole. A checkpoint that is due by time
    waits for its end: whatever the rest of it logs would be logged twice.

    A training that ends within an epoch (max_steps, max_time, early stopping) is saved as it was
    after its last batch, before what only an end brings: a validation that was not due, the hooks
    at the end of an epoch. Made longer, it goes on with the next batch.
    """

    EPOCH = "epoch"
    END = "end"
    BATCH = "batch"
    VALIDATION = "validation"

    @property
    def is_within_epoch(self) -> bool:
        return self in (SavePoint.BATCH, SavePoint.VALIDATION)


@dataclass
class Position:
    """Where the training is between two batches, as far as it decides what can be saved.

    Attributes:
        stepped: the last batch ended in an optimizer step; else gradients are being accumulated.
        validated: a validation has run since the last batch.
        random_states: of the save point that is due; None if none is.
        outside: within a validation, what the model kept outside its state_dict before it.
        metrics: within a validation, the states of its metric objects before it.
    """

    stepped: bool = True
    validated: bool = False
    random_states: dict[str, Any] | None = None
    outside: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None


@runtime_checkable
class HasRankState(Protocol):
    """A callback whose state differs between processes; `Callback.state_dict` is rank zero's."""

    @property
    def state_key(self) -> str:
        """As every Callback has it."""

    def rank_state(self) -> dict[str, Any]:
        """The state of this process, as tensors and plain values."""

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes over what `rank_state` returned in a process of the same rank."""


def ends_step(trainer: Trainer, batch_idx: int) -> bool:
    """Whether this batch ends in an optimizer step; else its gradients are accumulated."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def save_once(trainer: Trainer, path: Path, *others: Path) -> None:
    """Saves a checkpoint under one or more names: serialised and written once."""
    trainer.save_checkpoint(path)
    # A strategy may have made a folder of it (sharded: `FSDPStrategy.save_checkpoint`, 2.6.6).
    is_file = not others or trainer.strategy.broadcast(path.is_file())
    for other in others:
        if not is_file:
            trainer.save_checkpoint(other)
        elif trainer.is_global_zero:
            name_as_well(path, other)


def level_progress(
    loops: dict[str, Any], point: SavePoint, validated: bool, is_counted: bool = True
) -> None:
    """Makes Lightning's counters, saved from within a hook, those of the save point.

    Each is a dict of ready, started, processed and completed (loops/progress.py of
    pytorch-lightning 2.6.6). Where they differ, `_FitLoop.update_restart_stage`, and likewise those
    of the loops within, guess from the differences which hook had saved, and count on from there.

    Args:
        loops: `_FitLoop.state_dict`, as in the checkpoint; changed in place.
        point: where the checkpoint is saved.
        validated: a validation has run since the last batch.
        is_counted: Lightning has counted the step of the last batch; not so within a validation.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validation = loops["epoch_loop.val_loop.batch_progress"]
    for part in (batches, validation):
        for progress in (part["total"], part["current"]):
            _level(progress, progress["completed"])
    if not point.is_within_epoch:
        for progress in (epochs["total"], epochs["current"]):
            _level(progress, progress["processed"])
        _level(batches["current"], 0)
        batches["is_last_batch"] = False
    elif point is SavePoint.BATCH:
        batches["is_last_batch"] = False
        for progress in (epochs["total"], epochs["current"]):
            progress["processed"] = progress["completed"]  # while the epoch is being ended
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] += not is_counted
        if validated:
            # `_TrainingEpochLoop.advance` will skip this validation (`_skip_next_val`), and
            # `on_advance_end` count a step for it.
            loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    else:
        # `_EvaluationLoop.update_restart_stage` takes this for a validation within its first
        # batch, which `_TrainingEpochLoop.advance` goes back to and runs as a whole.
        for progress in (validation["total"], validation["current"]):
            _level(progress, 0)
            progress["ready"] = progress["started"] = 1
        validation["is_last_batch"] = False


def _level(progress: dict[str, int], value: int) -> None:
    for key in progress:
        progress[key] = value
