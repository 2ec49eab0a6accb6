"""What has no public way in Lightning to stop and go on within a training, one function a use.

The other half of lightning_internals.py, with the same rules.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer import call
from torch import Tensor
from torchmetrics import Metric

from .own_callbacks import has_hook, is_users


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
            result.counted = result._forward_cache  # by `lightning_results.new_step_values`


def keep_epoch_sums(trainer: Trainer) -> None:
    """Lets the first batch of a resumed epoch add to the restored sums.

    `LightningModule.log` sets them to zero where `_LoggerConnector.should_reset_tensors`
    (logger_connector.py) takes the batch for the first of its epoch, by `_first_loop_iter`. Goes
    with `epoch_sums`.
    """
    trainer._logger_connector._first_loop_iter = False


def metric_states(model: LightningModule, copies: bool = False) -> dict[str, dict[str, Any]]:
    """The states of the model's metric objects, by their names, in this process.

    `Module.state_dict` has them only where the model asks for it (`Metric.persistent`). Public
    but for its counterpart, `restore_metrics`. Copies are for a state that is saved later.
    """
    return {
        name: {
            "state": copy.deepcopy(metric.metric_state) if copies else metric.metric_state,
            "update_count": metric.update_count,
        }
        for name, metric in model.named_modules()
        if isinstance(metric, Metric)
    }


def restore_metrics(model: LightningModule, states: dict[str, dict[str, Any]]) -> list[str]:
    """Puts back what `metric_states` returned; returns the names that the model has no metric for.

    `Metric._reduce_states` (torchmetrics/metric.py) weighs by `_update_count`, `compute` warns
    while it is 0, and returns `_computed` while that is not None; only `update_count`, which reads
    the first, is public. Can go when a metric can be told how often it was updated, or when its
    `state_dict` has all of this.
    """
    metrics, missing = dict(model.named_modules()), []
    for name, saved in move_data_to_device(states, model.device).items():
        metric = metrics.get(name)
        if not isinstance(metric, Metric) or metric.metric_state.keys() != saved["state"].keys():
            missing.append(name)
            continue
        vars(metric).update(saved["state"])
        metric._update_count = saved["update_count"]
        metric._computed = None
    return missing


def restore_again(trainer: Trainer) -> None:
    """Puts weights, optimizers, schedules and the states of callbacks back once more.

    `Trainer._run` (trainer/trainer.py) restores weights and callbacks before `on_fit_start`, and
    the rest before `on_train_start`: what a model resets or computes anew in these hooks replaces
    what was stored. `_CheckpointConnector.restore_training_state` would set the loops back as well.
    Can go when Lightning restores after these hooks.
    """
    connector = trainer._checkpoint_connector
    connector.resume_start(trainer.ckpt_path, weights_only=True)
    if not any(_brings_weights(c) for c in trainer.callbacks):  # type: ignore[attr-defined]
        connector.restore_model()
    connector.restore_callbacks()
    for optimizer in trainer.optimizers:
        optimizer.state.clear()  # else it is in memory twice while it is loaded
    connector.restore_optimizers_and_schedulers()
    connector.resume_end()


def _brings_weights(callback: Callback) -> bool:
    """Whether a callback of the user's may give the model weights that it has stored itself.

    As an average does that is in the checkpoint for the weights, while they are in its own state.
    """
    return (
        is_users(callback)
        and has_hook(callback, "load_state_dict", "on_load_checkpoint")
        and has_hook(callback, "on_fit_start", "on_train_start")
    )


def start_epoch(trainer: Trainer, callbacks: list[Callback]) -> None:
    """Calls `on_train_epoch_start` of some callbacks and of the model.

    `_FitLoop.on_advance_start` (loops/fit_loop.py) leaves it out where it goes on within an epoch;
    `_call_lightning_module_hook` (trainer/call.py) lets the model log in it. What it logs is in
    the sums of the epoch already. Can go when Lightning calls the hook in a restarted epoch.
    """
    model = trainer.lightning_module
    before, model._current_fx_name = model._current_fx_name, "on_train_epoch_start"
    for callback in callbacks:
        callback.on_train_epoch_start(trainer, model)
    model._current_fx_name = before
    call._call_lightning_module_hook(trainer, "on_train_epoch_start")
    trainer.fit_loop.epoch_loop._results.clear()


@contextlib.contextmanager
def within_epoch(trainer: Trainer) -> Iterator[None]:
    """Lets `Trainer.callback_metrics` be those of the last batch while an epoch is being ended.

    `_LoggerConnector.metrics` (logger_connector.py) computes the means where `_first_loop_iter` is
    None, which `epoch_end_reached` sets before the hooks at the end. Goes with `epoch_sums`.
    """
    connector = trainer._logger_connector
    before, connector._first_loop_iter = connector._first_loop_iter, False
    try:
        yield
    finally:
        connector._first_loop_iter = before


def log_one_step_later(trainer: Trainer) -> None:
    """Lets the means over a part of an epoch be logged behind its last step.

    `_FitLoop.on_advance_end` logs them under the step of the last batch (`logging_step`). The run
    that goes on from there replaces what has a later step, and these are no metrics of it. Goes
    with `logging_step`.
    """
    trainer.fit_loop.epoch_loop._batches_that_stepped += 1


def is_validation_due(trainer: Trainer) -> bool:
    """Whether a validation is due after the last batch, whether or not the training ends here.

    `_TrainingEpochLoop._should_check_val_fx` (loops/training_epoch_loop.py) also validates where
    `should_stop` is set. Can go when a callback is told why a validation runs.
    """
    before, trainer.should_stop = trainer.should_stop, False
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None, "there is one while it trains"
    try:
        return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
    finally:
        trainer.should_stop = before


def end_restart(trainer: Trainer) -> None:
    """Tells Lightning that it is no longer within an epoch in which it was restarted.

    `_FitLoop.on_advance_end` leaves out ReduceLROnPlateau at the end of a restarted epoch, and
    `_FitLoop.restarting` (loops/fit_loop.py), whose setter would be the public way, makes True of
    False wherever `max_steps` is set. Can go when that setter accepts what it is given.
    """
    trainer.fit_loop._restarting = False
    trainer.fit_loop.epoch_loop.restarting = False
