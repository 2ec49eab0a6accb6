"""Settings that changed when a run was resumed win over what its checkpoint restores.

Lightning (2.6, `_CheckpointConnector.restore_training_state`) loads the states of optimizers,
schedules and callbacks over what was just configured: learning rate, momentum, weight decay, the
arguments of a schedule, patience. Without this the record would name settings that were not used.
"""

from __future__ import annotations

import warnings
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..errors import UserError
from .checkpoints import Checkpoints
from .lightning_internals import configured_optimizers

# A score of another metric, or on other data, cannot be compared with the best one so far.
OF_ANOTHER_SCORE = ("monitor", "monitor_mode", "dataset_name", "dataset_args")


class Reconfigure(Callback):
    """Applies the settings of a resumed run to what was restored; attached where some changed.

    Optimizers get the hyperparameters that are configured now. A schedule that is a function of
    its position is built anew and set to that position: as if its length and arguments had been
    these from the start. `ReduceLROnPlateau` has a history, which it keeps.

    Args:
        changes: what differs from the run's own configuration, as dotted key -> value.
    """

    def __init__(self, changes: dict[str, Any]):
        self.changes = changes
        # Patience and first score as configured: `EarlyStopping` restores the old ones.
        self.stopping: dict[str, tuple[int, Tensor]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                self.stopping[callback.state_key] = callback.patience, callback.best_score

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Before Lightning loads these states: some optimizers cannot even load another's.
        optimizers, _ = configured_optimizers(pl_module)
        for new, saved in zip(optimizers, checkpoint["optimizer_states"]):
            _refuse_another(new, saved)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        other_score = any(key.partition(".")[0] in OF_ANOTHER_SCORE for key in self.changes)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                callback.patience, fresh = self.stopping[callback.state_key]
                if other_score:
                    callback.wait_count, callback.best_score = 0, fresh
            if isinstance(callback, Checkpoints) and other_score:
                callback.best.score = None
        optimizers, schedules = configured_optimizers(pl_module)
        for restored, new in zip(trainer.optimizers, optimizers):
            self._apply(restored, new)
        for config, new_config in zip(trainer.lr_scheduler_configs, schedules):
            _set_position(config.scheduler, new_config.scheduler)

    def _apply(self, restored: Optimizer, new: Optimizer) -> None:
        rate_is_kept = not any(key.startswith("model_args.") for key in self.changes)
        for group, configured in zip(restored.param_groups, new.param_groups):
            kept = {"params", "lr"} if rate_is_kept else {"params"}
            group.update({key: value for key, value in configured.items() if key not in kept})


def _refuse_another(new: Optimizer, saved: dict[str, Any]) -> None:
    of_schedules = {"params", "initial_lr", "swa_lr"}  # the last is StochasticWeightAveraging's
    names = [group.keys() - of_schedules for group in new.param_groups]
    before = [group.keys() - of_schedules for group in saved["param_groups"]]
    if names != before:
        other = ", ".join(sorted(names[0] ^ before[0])) or "groups of parameters"
        raise UserError(
            f"model_args: the run was trained with another optimizer than {type(new).__name__} "
            f"(they differ in {other}): its state cannot be used; resume without that change"
        )


def _set_position(restored: LRScheduler, new: LRScheduler) -> None:
    """Gives a restored schedule the arguments of a new one, at the position that it has reached.

    Raises:
        UserError: the new schedule ends before that position.
    """
    if isinstance(restored, ReduceLROnPlateau):
        history = ("best", "cooldown_counter", "num_bad_epochs", "last_epoch", "_last_lr")
        state = new.state_dict() | {
            key: value for key, value in restored.state_dict().items() if key in history
        }
        restored.load_state_dict(state)
        return
    with warnings.catch_warnings():
        # torch expects a step of the optimizer before each of the schedule: none is taken here.
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        try:
            for _ in range(restored.last_epoch):
                new.step()
        except ValueError as error:  # OneCycleLR beyond its last step
            raise UserError(
                f"the learning-rate schedule is at step {restored.last_epoch}, behind the end of "
                f"the one that is configured now: train longer ({error})"
            ) from None
    restored.load_state_dict(new.state_dict())
    for group, at_position in zip(restored.optimizer.param_groups, new.optimizer.param_groups):
        group.update({key: value for key, value in at_position.items() if key != "params"})
