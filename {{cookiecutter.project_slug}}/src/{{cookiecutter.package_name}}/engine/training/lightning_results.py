"""What `self.log` has collected: private names of Lightning, one function a use.

As lightning_internals.py, which says the rules; tried with pytorch-lightning 2.6.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor


def logged_values(trainer: Trainer) -> dict[str, Tensor]:
    """What `self.log` has of the validation, or training epoch, that is ending.

    `Trainer.callback_metrics` keeps the values of earlier epochs, and has those that are logged by
    step and by epoch under three names. `_ResultCollection.metrics` (logger_connector/result.py)
    leaves out what belongs to one of several validation sets once these have ended. Can go when
    the metrics of an epoch are public.
    """
    results = trainer._results
    if results is None:
        return {}
    found = {}
    for metric in results.values():
        if not metric.has_reset:
            value = results._get_cache(metric, on_step=False)
            if value is not None:
                found[results._forked_name(metric, on_step=False)[0]] = value
    return found


def new_step_values(trainer: Trainer) -> Iterator[tuple[str, Tensor, bool]]:
    """What was logged by step only in training, and has not been returned here before.

    `_ResultMetric.update` (logger_connector/result.py) keeps the value of the last step alone, as
    another tensor each time. Can go when Lightning keeps the mean as well.

    Returns:
        Names, values, and whether it was logged after `Callback.on_train_batch_end`.
    """
    for metric in trainer.fit_loop.epoch_loop._results.values():
        meta = metric.meta
        if meta.on_epoch or not meta.on_step or not metric.is_tensor or metric.has_reset:
            continue
        value = metric._forward_cache
        if value is not None and value is not vars(metric).get("counted"):
            metric.counted = value
            yield meta.name, value, meta.fx == "on_train_batch_end"


def step_metrics(trainer: Trainer) -> dict[str, Tensor]:
    """Over the epoch so far, the values of metric objects that are logged by step only.

    Goes with `new_step_values`.
    """
    return {
        metric.meta.name: metric.value.compute()
        for metric in trainer.fit_loop.epoch_loop._results.values()
        if not (metric.meta.on_epoch or metric.is_tensor or metric.has_reset)
    }


def logged_names(trainer: Trainer) -> set[str]:
    """The names of all metrics that were logged with `self.log` so far, in any hook.

    `_ResultCollection.log` (logger_connector/result.py) keeps them for as long as the trainer
    lives. Can go when logged names are public.
    """
    loop = trainer.fit_loop.epoch_loop
    every = (*loop._results.values(), *loop.val_loop._results.values())
    return {metric.meta.name for metric in every}


def check_early_stopping(callback: EarlyStopping, trainer: Trainer) -> None:
    """Has the callback look at the monitored metric now.

    Lightning decides once for a training in which hook `EarlyStopping._run_early_stopping_check`
    (callbacks/early_stopping.py) is called, whichever metric it is. Can go when a callback can be
    told that there is a new value.
    """
    callback._run_early_stopping_check(trainer)
