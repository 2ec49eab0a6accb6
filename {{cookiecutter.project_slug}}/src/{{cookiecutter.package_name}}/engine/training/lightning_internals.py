"""Everything of Lightning that has no public way, one function a use.

Each function says which function of the library relies on the name, why it is needed here, and
when it can go. Tried with pytorch-lightning 2.6.6 and torchmetrics 1.9.0. Nothing else in this
package uses a private name of theirs; the template's tests/test_lightning_internals.py holds that,
and fails with the name that a release has dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from subprocess import Popen
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.core.optimizer import _init_optimizers_and_lr_schedulers
from pytorch_lightning.strategies.launchers import subprocess_script
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import Metric

HOOKS_OF_A_STEP = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_batch_end",
)


def logging_step(trainer: Trainer) -> int:
    """The step under which Lightning logs: the batches so far that ended in an optimizer step.

    `_LoggerConnector.log_metrics` (logger_connector.py) takes it from
    `_TrainingEpochLoop._batches_that_stepped`. `Trainer.global_step` is another number where a
    model steps several optimizers in one batch (manual optimization), and curves of one run must
    share one axis. Can go when the Trainer offers this number.
    """
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def is_logging_step(trainer: Trainer) -> bool:
    """Whether Lightning logs the step of this batch; for `on_train_batch_end`.

    The same as `_LoggerConnector.should_update_logs` (logger_connector.py), by public attributes
    but for `logging_step`, with which it can go.
    """
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if every == 0:
        return False
    return (logging_step(trainer) + 1) % every == 0 or trainer.should_stop


def is_logged_by_model(trainer: Trainer, name: str) -> bool:
    """Whether the model's `training_step` has logged a metric of this name with `self.log`.

    `_ResultCollection.log` (logger_connector/result.py) keeps it in `_TrainingEpochLoop._results`
    as "<hook>.<name>". `Trainer.callback_metrics` has what is only logged by epoch too late, when
    the epoch has ended. Can go when logged names are public.
    """
    return f"training_step.{name}" in trainer.fit_loop.epoch_loop._results


def epoch_sums(trainer: Trainer) -> list[dict[str, Any]]:
    """What `self.log` has accumulated in this epoch, in this process, as plain values.

    `_ResultCollection.metrics` (logger_connector/result.py) computes the means of an epoch from
    it; `FitLoop.state_dict` leaves it out, so that the means of a resumed epoch would be those of
    its rest. Can go when Lightning saves it (it did, in version 1.5 to 1.9).
    """
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
            # Empty for a metric object of the model: `metric_states` has its state.
            "state": metric.metric_state,
        }
        for metric in trainer.fit_loop.epoch_loop._results.values()
        if not metric.has_reset
    ]


def restore_epoch_sums(
    trainer: Trainer,
    pl_module: LightningModule,
    sums: list[dict[str, Any]],
    latest: dict[str, Tensor],
) -> None:
    """Puts back what `epoch_sums` returned, before the first batch of a resumed epoch.

    `_ResultCollection.log` makes each entry, with a value that is then replaced. Goes with
    `epoch_sums`.

    Args:
        trainer: about to continue within an epoch.
        pl_module: whose metric objects the entries may refer to.
        sums: of this process.
        latest: `Trainer.callback_metrics` at the save point: the values of the last step.
    """
    results = trainer.fit_loop.epoch_loop._results
    for entry in move_data_to_device(sums, pl_module.device):
        log, state = entry["log"], entry["state"]
        value: Tensor | torch.nn.Module = torch.zeros((), device=pl_module.device)
        if log["metric_attribute"]:
            value = pl_module.get_submodule(log["metric_attribute"])
        results.log(value=value, sync_dist_fn=trainer.strategy.reduce, batch_size=1, **log)
        result = results[f"{log['fx']}.{log['name']}"]
        vars(result).update(state)
        # `Trainer.callback_metrics` reads the value of the last step from here.
        if log["on_step"] and not log["metric_attribute"]:
            result._forward_cache = latest.get(log["name"])


def keep_epoch_sums(trainer: Trainer) -> None:
    """Lets the first batch of a resumed epoch add to the restored sums.

    `LightningModule.log` sets them to zero where `_LoggerConnector.should_reset_tensors`
    (logger_connector.py) takes the batch for the first of its epoch, by `_first_loop_iter`. Goes
    with `epoch_sums`.
    """
    trainer._logger_connector._first_loop_iter = False


def metric_states(model: LightningModule) -> dict[str, dict[str, Any]]:
    """The states of the model's metric objects, by their names, in this process.

    `Module.state_dict` has them only where the model asks for it (`Metric.persistent`). Public
    but for its counterpart, `restore_metrics`.
    """
    return {
        name: {"state": metric.metric_state, "update_count": metric.update_count}
        for name, metric in model.named_modules()
        if isinstance(metric, Metric)
    }


def restore_metrics(model: LightningModule, states: dict[str, dict[str, Any]]) -> None:
    """Puts back what `metric_states` returned.

    `Metric._reduce_states` (torchmetrics/metric.py) weighs by `_update_count`, and `compute` warns
    while it is 0; only `update_count`, which reads it, is public. Can go when a metric can be told
    how often it was updated, or when its `state_dict` has all of this.
    """
    for name, saved in move_data_to_device(states, model.device).items():
        metric = model.get_submodule(name)
        vars(metric).update(saved["state"])
        metric._update_count = saved["update_count"]


@cache
def lightnings_attributes() -> set[str]:
    """Attributes that a LightningModule has for Lightning's own use.

    `LightningModule.__init__` makes most of them, `HyperparametersMixin.save_hyperparameters`
    (core/mixins/hparams_mixin.py) the others; what `vars` has besides is the user's. Can go when
    Lightning keeps its own in one place.
    """
    model = LightningModule()
    model.save_hyperparameters({"any": 1})
    return {*vars(model)}


def modes_in_training(trainer: Trainer) -> dict[str, bool]:
    """Within a validation: whether each module of the model was in training mode before.

    `_EvaluationLoop._on_evaluation_model_eval` (loops/evaluation_loop.py) keeps them in
    `_ModuleMode.mode`, and puts them back at its end. Can go when a validation can be asked.
    """
    if not trainer.validating:
        return {}
    return trainer.fit_loop.epoch_loop.val_loop._module_mode.mode


def configured_optimizers(model: LightningModule) -> tuple[list[Optimizer], list[Any]]:
    """New optimizers and `LRSchedulerConfig`s of a model, as it configures them now.

    `Strategy.setup_optimizers` (strategies/strategy.py) gets them from
    `_init_optimizers_and_lr_schedulers` (core/optimizer.py), which knows each form that
    `configure_optimizers` may return. Can go when Lightning offers to restore only part of a state.
    Attributes that it sets (a schedule that the model steps itself) stay those of the training.
    """
    attributes = dict(vars(model))
    try:
        return _init_optimizers_and_lr_schedulers(model)
    finally:
        vars(model).clear()
        vars(model).update(attributes)


def end_restart(trainer: Trainer) -> None:
    """Tells Lightning that it is no longer within an epoch in which it was restarted.

    `_FitLoop.on_advance_end` leaves out ReduceLROnPlateau at the end of a restarted epoch, and
    `_FitLoop.restarting` (loops/fit_loop.py), whose setter would be the public way, makes True of
    False wherever `max_steps` is set. Can go when that setter accepts what it is given.
    """
    trainer.fit_loop._restarting = False
    trainer.fit_loop.epoch_loop.restarting = False


@contextlib.contextmanager
def observed_by(watch: Callable[[list[Popen[bytes]]], None]) -> Iterator[None]:
    """Replaces Lightning's watch over the processes that it starts; puts it back afterwards.

    `_SubprocessScriptLauncher.launch` (strategies/launchers/subprocess_script.py) calls
    `_launch_process_observer`, whose thread kills this process as soon as another one has failed,
    before the reason can be said or recorded. Can go when the launcher takes an observer.

    Args:
        watch: called once, with the processes that were started; must return at once.
    """
    module: Any = subprocess_script
    before, module._launch_process_observer = module._launch_process_observer, watch
    try:
        yield
    finally:
        module._launch_process_observer = before


@contextlib.contextmanager
def empty_hooks_skipped(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Spares each step some fifty calls of hooks that do nothing; puts them back afterwards.

    `_call_callback_hooks` and `_call_lightning_module_hook` (trainer/call.py) pass over a hook
    that is not callable, at a fraction of the cost. Can go when Lightning passes over hooks that
    nobody has overridden.
    """
    owners: list[tuple[type, object]] = [(LightningModule, model)]
    owners += [(Callback, callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    skipped = [
        (owner, hook)
        for base, owner in owners
        for hook in HOOKS_OF_A_STEP
        if getattr(type(owner), hook) is getattr(base, hook)
    ]
    for owner, hook in skipped:
        setattr(owner, hook, None)
    try:
        yield
    finally:
        for owner, hook in skipped:
            vars(owner).pop(hook, None)
