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
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..errors import UserError
from .best_score import BestScore
from .lightning_internals import configured_optimizers
from .random_states import random_states, set_random_states

# A score of another metric, or on other data, cannot be compared with the best one so far.
OF_OTHER_DATA = {"dataset_name", "dataset_args"}
OF_ANOTHER_SCORE = {"monitor", "monitor_mode", *OF_OTHER_DATA}
# What may change a schedule: its arguments, or how many steps it will have.
OF_A_SCHEDULE = (
    "model_args.",
    "dataset",
    "dataloader_args.batch_size",
    "dataloader_args.drop_last",
    "trainer_args.max_",
    "trainer_args.min_",
    "trainer_args.limit_train_batches",
    "trainer_args.overfit_batches",
    "trainer_args.accumulate_grad_batches",
    "trainer_args.devices",
    "trainer_args.num_nodes",
)


class Reconfigure(Callback):
    """Applies the settings of a resumed run to what was restored; attached where some changed.

    Optimizers get the hyperparameters that are configured now. A schedule that is a function of
    its position is built anew and set to that position: as if its length and arguments had been
    these from the start. `ReduceLROnPlateau` has a history, which it keeps; a schedule that can do
    neither is refused where its length or its arguments may have changed.

    Args:
        changes: what differs from the run's own configuration, as dotted key -> value.
    """

    def __init__(self, changes: dict[str, Any]):
        self.changes = changes
        # Patience and first score as configured: `EarlyStopping` restores the old ones.
        self.stored_schedules = 0
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
        self.stored_schedules = len(checkpoint["lr_schedulers"])
        if len(optimizers) != len(checkpoint["optimizer_states"]):
            raise UserError(
                f"model_args: the run was trained with {len(checkpoint['optimizer_states'])} "
                f"optimizers and has {len(optimizers)} now: resume without that change"
            )
        for new, saved in zip(optimizers, checkpoint["optimizer_states"]):
            _refuse_another(new, saved)

    def refuse_other_data(self) -> None:
        """Refuses other data for the rest of an epoch within which the run was stopped.

        Raises:
            UserError: names the settings.
        """
        keys = [key for key in self.changes if key.partition(".")[0] in OF_OTHER_DATA]
        if keys:
            raise UserError(
                f"{', '.join(keys)}: the run was stopped within an epoch, whose rest would be of "
                "other data; leave it as it was until that epoch has ended, or resume from another "
                "checkpoint"
            )

    def apply(self, trainer: Trainer, pl_module: LightningModule, best: BestScore) -> None:
        """Applies the changes to what was restored; called by `Checkpoints` whenever it has been.

        Args:
            trainer: about to train.
            pl_module: its model.
            best: the best score so far.
        """
        drawn = random_states()
        groups = {key.partition(".")[0] for key in self.changes}
        other_score = bool(groups & OF_ANOTHER_SCORE)
        if other_score:
            best.begin_anew()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping):
                callback.patience, fresh = self.stopping[callback.state_key]
                if other_score:
                    callback.wait_count, callback.best_score = 0, fresh
        optimizers, schedules = configured_optimizers(pl_module)
        for restored, new in zip(trainer.optimizers, optimizers):
            self._apply(restored, new, trainer.lr_scheduler_configs)
        configs = zip(trainer.lr_scheduler_configs, schedules)
        for number, (config, new_config) in enumerate(configs):
            steps = None if number < self.stored_schedules else _steps_so_far(trainer, config)
            if isinstance(config.scheduler, ReduceLROnPlateau):
                _keep_history(config.scheduler, new_config.scheduler, bool(groups & OF_OTHER_DATA))
            elif why := _no_function(pl_module, config.scheduler):
                self._refuse_schedule(config.scheduler, why)
            else:
                self._set_position(config.scheduler, new_config.scheduler, steps)
        set_random_states(drawn)

    def _set_position(self, restored: LRScheduler, new: LRScheduler, steps: int | None) -> None:
        """Gives a restored schedule the arguments of a new one, at its position.

        Args:
            restored: its optimizer gets the rates.
            new: at its beginning.
            steps: so far; None: as many as the restored one has taken.

        Raises:
            UserError: the new schedule ends before that position, or cannot be set to it.
        """
        steps = position(restored) if steps is None else steps
        with warnings.catch_warnings():
            # torch expects a step of the optimizer before each of the schedule: none is taken here.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            try:
                for _ in range(steps):
                    new.step()
            except ValueError as error:  # OneCycleLR beyond its last step
                raise UserError(
                    f"the learning-rate schedule is at step {steps}, behind the end of the one "
                    f"that is configured now: train longer ({error})"
                ) from None
            except TypeError as error:
                self._refuse_schedule(restored, str(error))
                return
        kept = {"params"}
        if _settings(new) == _settings(restored):
            kept.add("lr")  # which the model or a plateau may have changed
        else:
            restored.load_state_dict(new.state_dict())
        for group, at_position in zip(restored.optimizer.param_groups, new.optimizer.param_groups):
            group.update({key: value for key, value in at_position.items() if key not in kept})

    def _refuse_schedule(self, schedule: object, why: str) -> None:
        """Refuses what may change a schedule that is no function of its position.

        Raises:
            UserError: names it, and the settings.
        """
        if changed := [key for key in self.changes if key.startswith(OF_A_SCHEDULE)]:
            raise UserError(
                f"{', '.join(changed)}: the learning-rate schedule {type(schedule).__name__} "
                f"cannot be brought to its position with other settings ({why}): resume without "
                "that change"
            )

    def _apply(self, restored: Optimizer, new: Optimizer, configs: list[Any]) -> None:
        """Gives a restored optimizer what is configured now; schedules set their rates themselves.

        A plateau has only lowered the rate: it goes on from there, unless another one is asked for.
        """
        asked = [value for key, value in self.changes.items() if key.startswith("model_args.")]
        schedules = [c.scheduler for c in configs if c.scheduler.optimizer is restored]
        is_lowered = bool(schedules) and all(isinstance(s, ReduceLROnPlateau) for s in schedules)
        for group, configured in zip(restored.param_groups, new.param_groups):
            takes_rate = configured["lr"] in asked if is_lowered else asked and not schedules
            kept = {"params"} if takes_rate else {"params", "lr"}
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


def position(schedule: Any) -> int:
    """How many steps a schedule has taken."""
    if hasattr(schedule, "last_epoch"):
        return int(schedule.last_epoch)
    # ChainedScheduler has none of its own.
    return int(schedule.state_dict()["_schedulers"][0]["last_epoch"])


def _settings(schedule: LRScheduler) -> dict[str, Any]:
    """The state of a schedule without the rates that it has set: others may set them as well."""
    state = {key: value for key, value in schedule.state_dict().items() if key != "_last_lr"}
    if "_schedulers" in state:
        state["_schedulers"] = [
            {key: value for key, value in inner.items() if key != "_last_lr"}
            for inner in state["_schedulers"]
        ]
    return state


def _steps_so_far(trainer: Trainer, config: Any) -> int:
    """How many steps a schedule would have taken that was not there before."""
    so_far = trainer.current_epoch if config.interval == "epoch" else trainer.global_step
    return int(so_far // config.frequency)


def _no_function(model: LightningModule, schedule: object) -> str:
    """Why a schedule is no function of the number of its steps; "" if it may be."""
    if is_overridden("lr_scheduler_step", model):
        return "the model takes its steps itself, in lr_scheduler_step"
    if not isinstance(schedule, LRScheduler):
        return "it is none of torch's"
    return ""


def _keep_history(restored: ReduceLROnPlateau, new: ReduceLROnPlateau, is_other_data: bool) -> None:
    """Gives a plateau the arguments of a new one; its history stays, unless it is of other data."""
    history = {"cooldown_counter", "last_epoch", "_last_lr"}
    if not is_other_data and restored.mode == new.mode:
        history |= {"best", "num_bad_epochs"}
    state = new.state_dict() | {
        key: value for key, value in restored.state_dict().items() if key in history
    }
    restored.load_state_dict(state)
