"""Everything of Lightning that has no public way, one function a use.

Each function says which function of the library relies on the name, why it is needed here, and
when it can go. Tried with pytorch-lightning 2.6.6 and torchmetrics 1.9.0. Nothing else in this
package but lightning_restart.py uses a private name of theirs; the template's
tests/test_lightning_internals.py holds that, and fails with the name that a release has dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from subprocess import Popen
from types import CodeType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.core.optimizer import _init_optimizers_and_lr_schedulers
from pytorch_lightning.strategies.launchers import subprocess_script
from torch.optim import Optimizer

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


def weigh_batch(trainer: Trainer, examples: int) -> None:
    """Says how many examples the batch has that a step is about to get.

    `_ResultCollection._extract_batch_size` (logger_connector/result.py) weighs by it what
    `self.log` gets without a `batch_size`, and else searches the batch for a tensor and takes its
    first dimension. Can go when a loader or a hook can say it.
    """
    results = trainer._results
    if results is not None:
        results.batch_size = examples


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
        and hook not in vars(owner)  # one that was set on the instance
        and not _is_called(hook, type(owner), base)
    ]
    for owner, hook in skipped:
        setattr(owner, hook, None)
    try:
        yield
    finally:
        for owner, hook in skipped:
            if vars(owner).get(hook) is None:
                vars(owner).pop(hook, None)


def _is_called(name: str, cls: type, base: type) -> bool:
    """Whether a class calls a method that it has from Lightning's base class."""
    own = cls.__mro__[: cls.__mro__.index(base)]
    codes = [code for c in own for f in vars(c).values() if (code := getattr(f, "__code__", None))]
    while codes:
        code = codes.pop()
        if name in code.co_names:
            return True
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return False
