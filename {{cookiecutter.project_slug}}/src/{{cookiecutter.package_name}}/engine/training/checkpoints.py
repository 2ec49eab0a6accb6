"""Checkpoints from which a training goes on as if it had never been stopped, to the same bits.

Lightning stores weights, optimizers, schedulers and its progress. Missing are the random states,
the sums behind the metrics of the epoch so far, and a moment at which all of these agree. There
are three such moments; each checkpoint of a run is of one of them:

- "epoch": before an epoch, or after the last one. Everything of the epoch before is logged.
- "batch": between two batches, and only where no gradients are being accumulated.
- "validation": before a validation; it is run again as a whole.
"""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loops.loop import _Loop
from torchmetrics import Metric

from ..errors import Interrupted, UserError
from .stopping import StopRequest

logger = logging.getLogger(__name__)


class Checkpoints(Checkpoint):
    """Saves `best.ckpt` and `last.ckpt`, and ends the training when a signal asks for it.

    Args:
        folder: of the checkpoints; None: nothing is saved.
        monitor: metric that tells the best checkpoint.
        mode: "min" or "max": what is better.
        every_s: seconds after which `last.ckpt` is saved besides each epoch.
        stop: tells when a signal has asked the training to end.

    Attributes:
        best_score: best value of the metric so far; None before there is one.
    """

    def __init__(
        self, folder: Path | None, monitor: str, mode: str, every_s: float, stop: StopRequest
    ):
        self.folder, self.monitor, self.mode, self.every_s = folder, monitor, mode, every_s
        self.best_score: float | None = None
        self.best_is_new = False  # and not on disk yet
        self.stop = stop
        self.stepped = True  # after the last batch; else gradients are being accumulated
        self.validated = False  # since the last batch
        self.moment: str | None = None  # the one that is being saved
        self.chance: dict | None = None  # random states of a moment that is to be saved
        self.loaded: dict | None = None  # what the checkpoint of a resumed run says
        self.saved = (0, None)  # step and moment of the last save

    # When to save, and when to stop

    def setup(self, trainer, pl_module, stage):
        self.folder = trainer.strategy.broadcast(self.folder)  # only rank zero knows it
        if self.folder and trainer.is_global_zero:
            self.folder.mkdir(exist_ok=True)

    def on_train_start(self, trainer, pl_module):
        self.saved_at = time.monotonic()
        self.stop.take_over()
        if self.loaded:
            self._restore(trainer, pl_module)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        ends_epoch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        self.stepped = ends_epoch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        # Now, because the next batch will have been read when it is time to save.
        self.chance = random_states() if self.stepped and self._is_due(trainer) else None
        self.validated = False

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.chance:  # everything of the batch before is logged by now
            self._save(trainer, "batch")

    def on_validation_start(self, trainer, pl_module):
        self.chance = random_states()

    def on_validation_batch_end(self, trainer, *args):
        # Not by the clock: what this process goes on to log would be logged again.
        if not trainer.sanity_checking and self.stepped and self.stop.is_requested(trainer):
            self._save(trainer, "validation")

    def on_validation_end(self, trainer, pl_module):
        self.chance, self.validated = None, True
        ends_epoch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.sanity_checking or ends_epoch or not self.stepped:
            return
        if not self.monitor.startswith("train"):  # which is no mean before the epoch ends
            self._judge(trainer)
        if self.best_is_new or self._is_due(trainer):
            self.chance = random_states()

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.global_step:
            self._judge(trainer)
            self._save(trainer, "epoch")
        elif self.stop.is_requested(trainer):
            self._stop(trainer)

    def on_train_epoch_end(self, trainer, pl_module):
        # Else Lightning leaves out ReduceLROnPlateau in an epoch that was resumed.
        trainer.fit_loop._restarting = False

    def on_train_end(self, trainer, pl_module):
        self.stop.end()
        self._judge(trainer)
        self._save(trainer, "epoch")
        self._tell_best(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        is_late = trainer.is_global_zero and time.monotonic() - self.saved_at >= self.every_s
        return trainer.strategy.reduce_boolean_decision(self.stop.requested or is_late, all=False)

    def _judge(self, trainer: Trainer) -> None:
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            return
        score, best = float(score), self.best_score
        is_best = score == score if best is None else (score < best) == (self.mode == "min")
        if is_best and score != best:
            self.best_score, self.best_is_new = score, True

    # Saving

    def _save(self, trainer: Trainer, moment: str) -> None:
        """Saves at this moment; does not return if the training was asked to stop."""
        asked = self.stop.is_requested(trainer)
        place = (trainer.global_step, moment)
        if self.folder and not trainer.fast_dev_run and self.saved != place:
            self.moment, self.chance = moment, self.chance or random_states()
            if self.best_is_new:  # first: a kill between the two is made up for after `last`
                self.best_is_new = False
                trainer.save_checkpoint(self.folder / "best.ckpt")
            trainer.save_checkpoint(self.folder / "last.ckpt")
            self.moment, self.saved, self.saved_at = None, place, time.monotonic()
        self.chance = None
        if asked:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        raise Interrupted(f"train was stopped at step {trainer.global_step}")

    def state_dict(self) -> dict:
        return {"best_score": self.best_score}

    def load_state_dict(self, state: dict) -> None:
        self.best_score = state["best_score"]

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        if not self.moment:  # somebody else saves, at a moment of their own
            return
        loop = trainer.fit_loop
        _settle(checkpoint["loops"]["fit_loop"], self.moment, self.validated)
        mine = {
            "chance": self.chance,
            "sums": [] if self.moment == "epoch" else _sums(loop.epoch_loop._results),
            "callbacks": {
                callback.state_key: callback.rank_state()
                for callback in trainer.callbacks
                if hasattr(callback, "rank_state")
            },
            "metrics": {
                name: metric.metric_state | {"_update_count": metric._update_count}
                for name, metric in pl_module.named_modules()
                if isinstance(metric, Metric)
            },
        }
        checkpoint["exact"] = {
            "moment": self.moment,
            "ranks": _gathered(trainer, mine),
            "batches": loop.max_batches,
            # Everything that was logged has a step below this one.
            "next_log_step": loop.epoch_loop._batches_that_stepped + (self.moment == "validation"),
            "callback_metrics": dict(trainer._logger_connector._callback_metrics),
        }

    # Resuming

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.loaded = checkpoint.get("exact")

    def on_fit_end(self, trainer, pl_module):
        if self.loaded:  # nothing was left to train: the results are those of the checkpoint
            trainer._logger_connector._callback_metrics.update(self.loaded["callback_metrics"])
            self._tell_best(trainer)

    def _tell_best(self, trainer: Trainer) -> None:
        """As one of the metrics, which also return from a process that Lightning has spawned."""
        if self.best_score is not None:
            best = {f"best_{self.monitor}": torch.tensor(self.best_score, dtype=torch.float64)}
            trainer._logger_connector._callback_metrics.update(best)

    def _restore(self, trainer: Trainer, pl_module) -> None:
        """Goes on from a checkpoint; the last to be called before the first step."""
        loaded, self.loaded = self.loaded, None
        loop, moment = trainer.fit_loop, loaded["moment"]
        self.saved = (trainer.global_step, moment)
        trainer._logger_connector._callback_metrics.update(loaded["callback_metrics"])
        if moment == "epoch":
            # Lightning takes every training with max_steps for one in mid-epoch.
            _Loop.restarting.fset(loop, False)
        else:
            if loaded["batches"] != loop.max_batches:
                raise UserError(
                    f"an epoch has {loop.max_batches} batches now, but had {loaded['batches']}, "
                    "and the run stopped within one: leave batches and data as they were"
                )
            progress = loop.epoch_loop.batch_progress
            if not progress.is_last_batch:  # else the next epoch would be the next to read
                trainer.train_dataloader.batch_sampler.start = progress.current.completed
            trainer._logger_connector._first_loop_iter = False  # else the sums are set to zero
        if len(loaded["ranks"]) != trainer.world_size:
            logger.warning(
                "WARNING: not to the same bits: the run had %d processes, and has %d",
                len(loaded["ranks"]),
                trainer.world_size,
            )
        else:
            mine = loaded["ranks"][trainer.global_rank]
            for name, state in mine["metrics"].items():
                state = move_data_to_device(state, pl_module.device)
                vars(pl_module.get_submodule(name)).update(state)
            for callback in trainer.callbacks:
                if callback.state_key in mine["callbacks"]:
                    state = mine["callbacks"][callback.state_key]
                    callback.load_rank_state(move_data_to_device(state, pl_module.device))
            _restore_sums(loop.epoch_loop._results, mine["sums"], trainer, pl_module)
            set_random_states(mine["chance"])


def _settle(loops: dict, moment: str, validated: bool) -> None:
    """Makes Lightning's progress, saved from within a hook, that of the moment."""
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validation = loops["epoch_loop.val_loop.batch_progress"]
    for part in (batches, validation):
        for progress in (part["total"], part["current"]):
            _level(progress, progress["completed"])
    if moment == "epoch":
        for progress in (epochs["total"], epochs["current"]):
            _level(progress, progress["processed"])
        _level(batches["current"], 0)
        batches["is_last_batch"] = False
    elif moment == "batch":
        batches["is_last_batch"] = False
        if validated:  # Lightning will step over this validation, and count a step for it
            loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    else:  # Lightning finishes a validation that was in its first batch
        for progress in (validation["total"], validation["current"]):
            _level(progress, 0)
            progress["ready"] = progress["started"] = 1
        validation["is_last_batch"] = False


def _level(progress: dict, value: int) -> None:
    for key in progress:
        progress[key] = value


def _sums(results: dict) -> list[dict]:
    """What `self.log` has gathered in this epoch, in this process."""
    return [
        {
            "log": {
                "fx": metric.meta.fx,
                "name": metric.meta.name,
                "prog_bar": metric.meta.prog_bar,
                "logger": metric.meta.logger,
                "on_step": metric.meta.on_step,
                "on_epoch": metric.meta.on_epoch,
                "reduce_fx": metric.meta.reduce_fx.__name__,
                "add_dataloader_idx": metric.meta.add_dataloader_idx,
                "sync_dist": metric.meta.sync.should,
                "rank_zero_only": metric.meta.sync.rank_zero_only,
                "metric_attribute": metric.meta.metric_attribute,
            },
            # A metric object has its own state, which is saved with the module's.
            "state": {key: getattr(metric, key) for key in metric._defaults},
        }
        for metric in results.values()
        if not metric.has_reset
    ]


def _restore_sums(results, sums: list[dict], trainer: Trainer, pl_module) -> None:
    for entry in move_data_to_device(sums, pl_module.device):
        log, state = entry["log"], entry["state"]
        value = torch.zeros((), device=pl_module.device)
        if log["metric_attribute"]:
            value = pl_module.get_submodule(log["metric_attribute"])
        results.log(value=value, sync_dist_fn=trainer.strategy.reduce, batch_size=1, **log)
        vars(results[f"{log['fx']}.{log['name']}"]).update(state)


def _gathered(trainer: Trainer, mine: dict) -> list[dict]:
    """The states of all ranks, in every one of them."""
    if trainer.world_size == 1:
        return [mine]
    everyone = [None] * trainer.world_size
    torch.distributed.all_gather_object(everyone, mine)
    return everyone


def random_states() -> dict:
    """The states of the global random generators as plain values, which load safely."""
    name, keys, *rest = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
    }


def set_random_states(states: dict) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
