"""Puts the state of a checkpoint back, after the hooks that begin a training have run.

What a model or a callback of the user's resets, measures or makes in `on_fit_start`,
`on_train_start` and `on_train_epoch_start` does not replace what was stored. Where the run was
stopped, and so where it goes on (save_points.py), decides when that is:

END                | after `on_train_start`
EPOCH              | after `on_train_start`, and after the callbacks' `on_train_epoch_start` where
                   | they have one: the model's own had not been called
BATCH, VALIDATION  | after `on_train_start` and `on_train_epoch_start`, which is called although the
                   | epoch does not begin: it makes what the rest of the epoch needs
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from torchmetrics.wrappers import MetricTracker

from ..errors import UserError
from .batches import LazyLoader
from .lightning_restart import (
    end_restart,
    keep_epoch_sums,
    restore_again,
    restore_epoch_sums,
    restore_metrics,
    start_epoch,
)
from .outside_state import OutsideState
from .own_callbacks import OURS, has_hook
from .own_loaders import begin_behind, orders_unknown
from .random_states import set_random_states
from .save_points import HasRankState, SavePoint

logger = logging.getLogger(__name__)
# What decides which examples are behind a position within an epoch, and after which batches the
# optimizer steps: the name of the setting, for each entry of `epoch_order`.
ORDER = {
    "examples": "dataset_args: the number of training examples",
    "batch_size": "dataloader_args.batch_size",
    "drop_last": "dataloader_args.drop_last",
    "shuffle": "dataloader_args.shuffle",
    "seed": "seed",
    "processes": "trainer_args: the number of processes",
    "accumulate_grad_batches": "trainer_args.accumulate_grad_batches",
    "batches": "the number of batches in an epoch",
}


class Restore:
    """What is put back, and what has to be said about it.

    Args:
        trainer: about to train.
        pl_module: its model.
        state: the resume state of the checkpoint.
        outside: of the model.

    Attributes:
        point: where the checkpoint was saved.
    """

    def __init__(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        state: dict[str, Any],
        outside: OutsideState,
    ):
        self.trainer, self.model, self.state, self.outside = trainer, pl_module, state, outside
        self.point = SavePoint(state["save_point"])
        self.warned: set[str] = set()

    def after_train_start(self) -> None:
        """Continues from the checkpoint; called when `on_train_start` has run.

        Raises:
            UserError: the run was stopped within an epoch, whose rest would be another one now.
        """
        if self.point.is_within_epoch:
            self._refuse_another_order()
            start_epoch(self.trainer, _with_epoch_start(self.trainer))
        else:
            end_restart(self.trainer)
        self._restore()
        if self.point.is_within_epoch:
            self._enter_epoch()

    def after_epoch_start(self) -> bool:
        """Undoes what callbacks have done a second time; before the model's own hook.

        Returns:
            Whether it had to be restored again.
        """
        is_repeated = self.point is SavePoint.EPOCH and bool(_with_epoch_start(self.trainer))
        if is_repeated:
            self._restore()
        return is_repeated

    def _restore(self) -> None:
        trainer, model, state = self.trainer, self.model, self.state
        ranks = state["ranks"]
        is_same = len(ranks) == trainer.world_size
        of_this_rank = ranks[trainer.global_rank] if is_same else {"metrics": {}}
        for unknown in orders_unknown(trainer):
            self._warn(unknown)
        _make_metrics(model, of_this_rank["metrics"])
        if not trainer.strategy.restore_checkpoint_after_setup:  # which loads in ways of its own
            restore_again(trainer)
        trainer.callback_metrics.update(state["callback_metrics"])
        if not is_same:
            processes = f"the run had {len(ranks)} processes, and has {trainer.world_size}"
            self._warn(processes)
            return
        for name in restore_metrics(model, of_this_rank["metrics"]):
            self._warn(f"there is no metric {name} any more, as it was: it begins anew")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            saved = of_this_rank["callbacks"].get(callback.state_key)
            if saved is not None and isinstance(callback, HasRankState):
                callback.load_rank_state(move_data_to_device(saved, model.device))
        restore_epoch_sums(trainer, model, of_this_rank["sums"], state["callback_metrics"])
        for lost in self.outside.restore(of_this_rank.get("outside")):
            self._warn(lost)
        set_random_states(of_this_rank["random_states"])

    def _warn(self, what: str) -> None:
        if what not in self.warned:
            self.warned.add(what)
            logger.warning("WARNING: not to the same bits: %s", what)

    def _refuse_another_order(self) -> None:
        now = epoch_order(self.trainer)
        # A checkpoint of 0.4.0 knows the number of batches only.
        then = self.state.get("order") or {"batches": self.state["num_training_batches"]}
        for key, before in then.items():
            if before != now.get(key, before):
                raise UserError(
                    f"{ORDER[key]} was {before} and is {now[key]}: the run was stopped within an "
                    "epoch, whose rest would be other batches; leave it as it was until that epoch "
                    "has ended, or resume from another checkpoint"
                )

    def _enter_epoch(self) -> None:
        """Continues an epoch behind the batches that it has had, with the sums over them."""
        if not self.trainer.is_last_batch:  # else the next epoch would be the next to read
            done = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
            begin_behind(self.trainer, done)
        keep_epoch_sums(self.trainer)


def epoch_order(trainer: Trainer) -> dict[str, Any]:
    """What a position within an epoch depends on, as plain values."""
    loader = trainer.train_dataloader
    own: dict[str, Any] = {}
    if isinstance(loader, LazyLoader):  # what other loaders do, cannot be told
        own = {
            "examples": loader.batches.size,
            "batch_size": loader.batches.batch_size,
            "drop_last": bool(loader.batches.drop_last),
            "shuffle": bool(loader.batches.shuffle),
            "seed": loader.batches.seed,
        }
    return own | {
        "processes": trainer.world_size,
        "accumulate_grad_batches": trainer.accumulate_grad_batches,
        "batches": trainer.num_training_batches,
    }


def _with_epoch_start(trainer: Trainer) -> list[Callback]:
    """The callbacks that do something of the user's when an epoch starts.

    Not our own, nor Lightning's `LearningRateMonitor`, which would log a point twice.
    """
    return [
        callback
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if has_hook(callback, "on_train_epoch_start")
        and not type(callback).__module__.startswith(OURS)
        and not isinstance(callback, LearningRateMonitor)
    ]


def _make_metrics(model: LightningModule, states: dict[str, Any]) -> None:
    """Makes the metrics that `MetricTracker.increment` had made when the states were stored."""
    for tracker_name, tracker in list(model.named_modules()):
        if isinstance(tracker, MetricTracker):
            prefix = f"{tracker_name}." if tracker_name else ""
            within = [name.removeprefix(prefix) for name in states if name.startswith(prefix)]
            numbers = [name.partition(".")[0] for name in within]
            made = [int(number) for number in numbers if number.isdecimal()]
            while len(tracker) <= max(made, default=-1):
                tracker.increment()


def after_train_start(trainer: Trainer, then: Callable[[], None]) -> None:
    """Calls `then` once, when every `on_train_start` has run: the strategy's is the last."""
    strategy: Any = trainer.strategy

    def last() -> None:
        del vars(strategy)["on_train_start"]  # its class's again
        strategy.on_train_start()
        then()

    strategy.on_train_start = last
