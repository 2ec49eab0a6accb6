"""What a checkpoint holds besides Lightning's own state; restore.py puts it back."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from .lightning_internals import logging_step
from .lightning_restart import epoch_sums, metric_states
from .outside_state import OutsideState
from .restore import epoch_order
from .save_points import HasRankState, Position, SavePoint


def snapshot(
    trainer: Trainer,
    pl_module: LightningModule,
    point: SavePoint,
    position: Position,
    outside: OutsideState,
) -> dict[str, Any]:
    """The resume state, as `checkpoint_file.resume_state` describes it.

    Args:
        trainer: within a hook.
        pl_module: its model.
        point: where the checkpoint is saved.
        position: between two batches, or within a validation.
        outside: of the model.
    """
    of_this_rank = {
        "random_states": position.random_states,
        "sums": epoch_sums(trainer) if point.is_within_epoch else [],
        "callbacks": {
            callback.state_key: callback.rank_state()
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, HasRankState)
        },
        "metrics": position.metrics or metric_states(pl_module),
        "outside": position.outside or outside.state(),
    }
    return {
        "save_point": point.value,
        "ranks": _gathered(trainer, of_this_rank),
        "num_training_batches": trainer.num_training_batches,
        "order": epoch_order(trainer),
        # All that was logged has a step below this one. Within a validation, Lightning has not
        # counted the step of the last batch yet (`_TrainingEpochLoop.on_advance_end`).
        "next_log_step": logging_step(trainer) + bool(trainer.validating),
        "callback_metrics": dict(trainer.callback_metrics),
    }


def _gathered(trainer: Trainer, of_this_rank: dict[str, Any]) -> list[Any]:
    """The states of all ranks, in every one of them."""
    if trainer.world_size == 1:
        return [of_this_rank]
    of_all: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(of_all, of_this_rank)
    return of_all
