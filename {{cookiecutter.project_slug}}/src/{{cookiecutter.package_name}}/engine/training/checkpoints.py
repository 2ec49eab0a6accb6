"""Checkpoints from which a run resumes as if it had never been stopped, to the same bits.

save_points.py says where they can be saved. What a resumed run gets back:

- from Lightning: weights, optimizers, schedules, its progress, the states of callbacks
- from `Checkpoints` (snapshot.py): of each rank the random states (random_states.py), the sums of
  the epoch's metrics and metric objects (lightning_restart.py), the counts of TrainMetrics and what
  the model keeps outside its state_dict (outside_state.py); the best score; the position within an
  epoch, from which loaders.py continues
- metrics.jsonl and the curves are cut back to the checkpoint (progress.py, trainer.py)
- settings that have changed since win over all of this (reconfigure.py)

restore.py says when this is put back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning import LightningModule, Trainer

from ..errors import Interrupted
from ..runs.checkpoint_file import RESUME_STATE, resume_state
from .best_score import BestScore, LightningsNames
from .ending import add_end
from .lightning_restart import end_restart, metric_states, restore_again
from .outside_state import OutsideState
from .random_states import random_states
from .restore import Restore, after_train_start
from .save_points import Position, SavePoint, ends_step, level_progress, save_once
from .snapshot import snapshot
from .train_metrics import new_values

if TYPE_CHECKING:
    from .reconfigure import Reconfigure
    from .stopping import StopRequest  # which imports `checkpoint_folder` from here


class Checkpoints(LightningsNames):
    """Saves `best.ckpt` and `last.ckpt`, and ends the training when a signal asks for it.

    Args:
        folder: of the checkpoints; None: nothing is saved.
        monitor: metric that tells the best checkpoint.
        mode: "min" or "max": what is better.
        every_s: seconds after which `last.ckpt` is saved besides each epoch.
        stop: says whether a signal has requested the end of the training.
        reconfigure: applies the settings of a resumed run that have changed, or None.
        on_saved: called when a checkpoint has been saved.

    Attributes:
        best: the best score so far.
        position: where the training is between two batches.
        saving: the save point at which a checkpoint is being written; None while none is.
        last_save: step and save point of the last checkpoint, so that none is written twice.
        saved_at: time of the last checkpoint.
        resumed_from: the resume state of the checkpoint that was loaded, until it is restored.
        has_begun: there was something to train.
        restore: puts it back, until the first epoch has begun.
        is_in_resumed_epoch: the training goes on within an epoch in which it was stopped.
        ends: the training is to end as soon as the accumulated gradients have made a step.
        ended_within_epoch: the training has ended within an epoch, and is saved.
    """

    def __init__(
        self,
        folder: Path | None,
        monitor: str,
        mode: str,
        every_s: float,
        stop: StopRequest,
        reconfigure: Reconfigure | None = None,
        on_saved: Callable[[], None] = lambda: None,
    ):
        self.folder, self.every_s, self.stop = folder, every_s, stop
        self.reconfigure, self.on_saved = reconfigure, on_saved
        self.best = BestScore(monitor, mode)
        self.position = Position()
        self.saving: SavePoint | None = None
        self.last_save: tuple[int, SavePoint | None] = (0, None)
        self.saved_at = 0.0
        self.is_loaded = False
        self.resumed_from: dict[str, Any] | None = None
        self.restore: Restore | None = None
        self.has_begun = self.is_in_resumed_epoch = False
        self.ends = self.ended_within_epoch = False

    def __getstate__(self) -> dict[str, Any]:
        # A process that Lightning spawns has no sacred run that could be told.
        return vars(self) | {"on_saved": _tell_nobody}

    # When to save, and when to stop

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = trainer.strategy.broadcast(self.folder)  # only rank zero knows it
        if self.folder and trainer.is_global_zero:
            self.folder.mkdir(exist_ok=True)
        # A checkpoint is loaded twice: what `on_train_start` makes is not there at first.
        self.strict, pl_module.strict_loading = pl_module.strict_loading, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.outside = OutsideState(trainer, pl_module)
        if not self.is_loaded:
            pl_module.strict_loading = self.strict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.stop.take_over()
        self.has_begun = True
        if self.is_loaded:
            after_train_start(trainer, lambda: self._restore(trainer, pl_module))

    def _restore(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.strict_loading = self.strict
        if not self.resumed_from:  # a checkpoint that another callback has saved
            restore_again(trainer)
        else:
            self.restore = Restore(trainer, pl_module, self.resumed_from, self.outside)
            if self.reconfigure and self.restore.point.is_within_epoch:
                self.reconfigure.refuse_other_data()
            self.restore.after_train_start()
            self.last_save = (trainer.global_step, self.restore.point)
            if self.restore.point.is_within_epoch:
                self.restore, self.is_in_resumed_epoch = None, True
        if self.reconfigure:
            self.reconfigure.apply(trainer, pl_module, self.best)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped = ends_step(trainer, batch_idx)
        # Now, although it is saved in on_train_batch_start: by then `_TrainingEpochLoop.advance`
        # has read the next batch, which may have drawn random numbers.
        states = random_states() if stepped and self._is_due(trainer) else None
        self.position = Position(stepped, validated=False, random_states=states)
        self._wait_for_step(trainer)

    def _wait_for_step(self, trainer: Trainer) -> None:
        """Where a training is to end while gradients are accumulated, it ends after their step."""
        if self.position.stepped:
            trainer.should_stop = trainer.should_stop or self.ends
        elif trainer.should_stop:
            self.ends, trainer.should_stop = True, False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not in on_train_batch_end: only after it does `_TrainingEpochLoop.advance` log the batch.
        if self.position.random_states:
            self.save(trainer, SavePoint.BATCH)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.position.random_states = random_states()
        if not trainer.sanity_checking:  # a resumed run begins this validation again
            self.position.outside = self.outside.state(copies=True)
            self.position.metrics = metric_states(pl_module, copies=True)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # Not by the clock: what this process goes on to log would be logged again.
        if trainer.sanity_checking or not self.position.stepped:
            return
        if self.stop.is_requested(trainer):
            self.save(trainer, SavePoint.VALIDATION)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.position.random_states, self.position.validated = None, True
        self.position.outside = self.position.metrics = None
        if trainer.sanity_checking:
            return
        self._wait_for_step(trainer)
        if not self.position.stepped:
            return
        self.best.judge(new_values(trainer))
        if trainer.is_last_batch:  # it is saved when the epoch has ended
            return
        if not self.best.is_saved or self._is_due(trainer):
            self.position.random_states = random_states()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.restore:
            if self.restore.after_epoch_start() and self.reconfigure:
                self.reconfigure.apply(trainer, pl_module, self.best)
            self.restore = None
            if self.stop.is_requested(trainer):
                self._stop(trainer)
        elif trainer.global_step:
            self.save(trainer, SavePoint.EPOCH)
        elif self.stop.is_requested(trainer):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        end_restart(trainer)
        self.is_in_resumed_epoch = False
        self.best.judge(new_values(trainer))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.end()
        if self.ended_within_epoch:
            add_end(self, trainer)
        else:
            self.save(trainer, SavePoint.END)
        self._report_best(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        is_late = trainer.is_global_zero and time.monotonic() - self.saved_at >= self.every_s
        return trainer.strategy.reduce_boolean_decision(self.stop.requested or is_late, all=False)

    # Saving

    def save(self, trainer: Trainer, point: SavePoint) -> None:
        """Saves at this point; does not return if the training was requested to stop."""
        requested = self.stop.is_requested(trainer)
        if not point.is_within_epoch:  # what was to be saved within the epoch is too late for that
            self.position = Position()
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
            self.on_saved()
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
        loops, validated = checkpoint["loops"]["fit_loop"], self.position.validated
        level_progress(loops, point, validated, is_counted=not trainer.validating)
        checkpoint[RESUME_STATE] = snapshot(trainer, pl_module, point, self.position, self.outside)

    # Resuming

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self.is_loaded:
            self.is_loaded, self.resumed_from = True, resume_state(checkpoint)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.resumed_from and not self.has_begun:
            # Nothing was left to train: the results are the checkpoint's.
            state = self.resumed_from
            metrics = state.get("end_metrics", state["callback_metrics"])
            trainer.callback_metrics.update(metrics)
            self._report_best(trainer)

    def _report_best(self, trainer: Trainer) -> None:
        """As one of the metrics, which also return from a process that Lightning has spawned."""
        if self.best.score is not None:
            best = torch.tensor(self.best.score, dtype=torch.float64)
            trainer.callback_metrics[f"best_{self.best.monitor}"] = best


def _tell_nobody() -> None:
    pass


def checkpoints_of(trainer: Trainer) -> Checkpoints | None:
    """What saves a run; None in a bare loop."""
    # Not `trainer.checkpoint_callback`, the first of any: a model may bring some of its own.
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Checkpoints):
            return callback
    return None


def checkpoint_folder(trainer: Trainer) -> Path | None:
    """Where the checkpoints of a run lie; None if it saves none."""
    checkpoints = checkpoints_of(trainer)
    return checkpoints.folder if checkpoints else None
