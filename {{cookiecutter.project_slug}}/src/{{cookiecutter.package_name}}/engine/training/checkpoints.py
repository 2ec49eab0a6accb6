"""Checkpoints from which a run resumes as if it had never been stopped, to the same bits.

save_points.py says where they can be saved. What a resumed run gets back:

- from Lightning: weights, optimizers, schedules, its progress, the states of callbacks
- from `Checkpoints`: of each rank the random states (random_states.py), the sums of the epoch's
  metrics and metric objects (lightning_internals.py), the counts of TrainMetrics and what the model
  keeps outside its state_dict (outside_state.py); the best score; the position within an epoch,
  from which loaders.py continues
- metrics.jsonl and the curves are cut back to the checkpoint (progress.py, trainer.py)
- settings that have changed since win over all of this (reconfigure.py)
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from ..errors import Interrupted, UserError
from ..runs.checkpoint_file import RESUME_STATE, resume_state
from .best_score import BestScore
from .lightning_internals import (
    end_restart,
    epoch_sums,
    keep_epoch_sums,
    logging_step,
    metric_states,
    restore_epoch_sums,
    restore_metrics,
)
from .outside_state import OutsideState
from .random_states import random_states, set_random_states
from .save_points import (
    HasRankState,
    Position,
    SavePoint,
    ends_step,
    level_progress,
    save_once,
)

if TYPE_CHECKING:
    from .stopping import StopRequest  # which imports `checkpoint_folder` from here

logger = logging.getLogger(__name__)


class Checkpoints(Checkpoint):
    """Saves `best.ckpt` and `last.ckpt`, and ends the training when a signal asks for it.

    Args:
        folder: of the checkpoints; None: nothing is saved.
        monitor: metric that tells the best checkpoint.
        mode: "min" or "max": what is better.
        every_s: seconds after which `last.ckpt` is saved besides each epoch.
        stop: says whether a signal has requested the end of the training.

    Attributes:
        best: the best score so far.
        position: where the training is between two batches.
        saving: the save point at which a checkpoint is being written; None while none is.
        last_save: step and save point of the last checkpoint, so that none is written twice.
        saved_at: time of the last checkpoint.
        resumed_from: the resume state of the checkpoint that was loaded, until it is restored.
    """

    def __init__(
        self, folder: Path | None, monitor: str, mode: str, every_s: float, stop: StopRequest
    ):
        self.folder, self.every_s, self.stop = folder, every_s, stop
        self.best = BestScore(monitor, mode)
        self.position = Position()
        self.saving: SavePoint | None = None
        self.last_save: tuple[int, SavePoint | None] = (0, None)
        self.saved_at = 0.0
        self.resumed_from: dict[str, Any] | None = None

    # When to save, and when to stop

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = trainer.strategy.broadcast(self.folder)  # only rank zero knows it
        if self.folder and trainer.is_global_zero:
            self.folder.mkdir(exist_ok=True)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.outside = OutsideState(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.stop.take_over()
        if self.resumed_from:
            self._restore(trainer, pl_module, self.resumed_from)
            self.resumed_from = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = ends_step(trainer, batch_idx)
        # Now, although it is saved in on_train_batch_start: by then `_TrainingEpochLoop.advance`
        # has read the next batch, which may have drawn random numbers.
        states = random_states() if stepped and self._is_due(trainer) else None
        self.position = Position(stepped, validated=False, random_states=states)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not in on_train_batch_end: only after it does `_TrainingEpochLoop.advance` log the batch.
        if self.position.random_states:
            self._save(trainer, SavePoint.BATCH)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.position.random_states = random_states()
        if not trainer.sanity_checking:  # a resumed run begins this validation again
            self.position.outside = self.outside.state(copies=True)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # Not by the clock: what this process goes on to log would be logged again.
        if trainer.sanity_checking or not self.position.stepped:
            return
        if self.stop.is_requested(trainer):
            self._save(trainer, SavePoint.VALIDATION)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.position.random_states, self.position.validated = None, True
        self.position.outside = None
        if trainer.sanity_checking or trainer.is_last_batch or not self.position.stepped:
            return
        # Before its epoch ends, a metric of the training is the value of one step and no mean.
        if not self.best.monitor.startswith("train"):
            self.best.judge(trainer.callback_metrics)
        if not self.best.is_saved or self._is_due(trainer):
            self.position.random_states = random_states()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step:
            self.best.judge(trainer.callback_metrics)
            self._save(trainer, SavePoint.EPOCH)
        elif self.stop.is_requested(trainer):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        end_restart(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.end()
        self.best.judge(trainer.callback_metrics)
        self._save(trainer, SavePoint.EPOCH)
        self._report_best(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        is_late = trainer.is_global_zero and time.monotonic() - self.saved_at >= self.every_s
        return trainer.strategy.reduce_boolean_decision(self.stop.requested or is_late, all=False)

    # Saving

    def _save(self, trainer: Trainer, point: SavePoint) -> None:
        """Saves at this point; does not return if the training was requested to stop."""
        requested = self.stop.is_requested(trainer)
        save = (trainer.global_step, point)
        is_trial: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if self.folder and not is_trial and self.last_save != save:
            self.saving = point
            self.position.random_states = self.position.random_states or random_states()
            # In this order: a kill between the two leaves the older `last.ckpt`, from which the
            # resumed run finds this best score again.
            names = ["last.ckpt"] if self.best.is_saved else ["best.ckpt", "last.ckpt"]
            self.best.is_saved = True
            save_once(trainer, *(self.folder / name for name in names))
            self.saving, self.last_save, self.saved_at = None, save, time.monotonic()
        self.position.random_states = None
        if requested:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        raise Interrupted(f"train was stopped at step {trainer.global_step}")

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best.score = state_dict["best_score"]

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not (point := self.saving):  # somebody else saves, at a point of their own
            return
        level_progress(checkpoint["loops"]["fit_loop"], point, self.position.validated)
        of_this_rank = {
            "random_states": self.position.random_states,
            "sums": [] if point is SavePoint.EPOCH else epoch_sums(trainer),
            "callbacks": {
                callback.state_key: callback.rank_state()
                for callback in trainer.callbacks  # type: ignore[attr-defined]
                if isinstance(callback, HasRankState)
            },
            "metrics": metric_states(pl_module),
            "outside": self.position.outside or self.outside.state(),
        }
        checkpoint[RESUME_STATE] = {
            "save_point": point.value,
            "ranks": _gathered(trainer, of_this_rank),
            "num_training_batches": trainer.num_training_batches,
            # All that was logged has a step below this one. Within a validation, Lightning has
            # not counted the step of the last batch yet (`_TrainingEpochLoop.on_advance_end`).
            "next_log_step": logging_step(trainer) + (point is SavePoint.VALIDATION),
            "callback_metrics": dict(trainer.callback_metrics),
        }

    # Resuming

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.resumed_from = resume_state(checkpoint)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.resumed_from:  # nothing was left to train: the results are the checkpoint's
            trainer.callback_metrics.update(self.resumed_from["callback_metrics"])
            self._report_best(trainer)

    def _report_best(self, trainer: Trainer) -> None:
        """As one of the metrics, which also return from a process that Lightning has spawned."""
        if self.best.score is not None:
            best = torch.tensor(self.best.score, dtype=torch.float64)
            trainer.callback_metrics[f"best_{self.best.monitor}"] = best

    def _restore(self, trainer: Trainer, pl_module: LightningModule, state: dict[str, Any]) -> None:
        """Continues from a checkpoint; the last thing that is done before the first step.

        Raises:
            UserError: the run was stopped within an epoch that has another length now.
        """
        point = SavePoint(state["save_point"])
        self.last_save = (trainer.global_step, point)
        trainer.callback_metrics.update(state["callback_metrics"])
        if point is SavePoint.EPOCH:
            end_restart(trainer)
        else:
            _enter_epoch(trainer, state["num_training_batches"])
        if len(state["ranks"]) != trainer.world_size:
            logger.warning(
                "WARNING: not to the same bits: the run had %d processes, and has %d",
                len(state["ranks"]),
                trainer.world_size,
            )
            return
        of_this_rank = state["ranks"][trainer.global_rank]
        restore_metrics(pl_module, of_this_rank["metrics"])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            saved = of_this_rank["callbacks"].get(callback.state_key)
            if saved is not None and isinstance(callback, HasRankState):
                callback.load_rank_state(move_data_to_device(saved, pl_module.device))
        restore_epoch_sums(trainer, pl_module, of_this_rank["sums"], state["callback_metrics"])
        if lost := self.outside.restore(of_this_rank.get("outside")):
            logger.warning("WARNING: not to the same bits: %s", "; ".join(lost))
        set_random_states(of_this_rank["random_states"])


def checkpoint_folder(trainer: Trainer) -> Path | None:
    """Where the checkpoints of a run lie; None if it saves none."""
    # Not `trainer.checkpoint_callback`, the first of any: a model may bring some of its own.
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Checkpoints):
            return callback.folder
    return None


def _enter_epoch(trainer: Trainer, num_training_batches: int | float) -> None:
    """Continues an epoch behind the batches that it has had, with the sums over them."""
    if num_training_batches != trainer.num_training_batches:
        raise UserError(
            f"an epoch has {trainer.num_training_batches} batches now, but had "
            f"{num_training_batches}, and the run stopped within one: leave batches and data as "
            "they were"
        )
    if not trainer.is_last_batch:  # else the next epoch would be the next to read
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        loader: Any = trainer.train_dataloader  # a `LazyLoader`, with `Batches`
        loader.batch_sampler.start = done
    keep_epoch_sums(trainer)


def _gathered(trainer: Trainer, of_this_rank: dict[str, Any]) -> list[Any]:
    """The states of all ranks, in every one of them."""
    if trainer.world_size == 1:
        return [of_this_rank]
    of_all: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(of_all, of_this_rank)
    return of_all
