"""What every training run attaches, steered by the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor

from ..config.checks import listed
from ..config.signatures import complete
from ..errors import refusals
from ..plugins import load
from .checkpoints import Checkpoints
from .finite import FiniteLoss
from .monitor import MonitorExists
from .progress import EpochReport, ProgressBar
from .speed import Compile, SpeedReport
from .stopping import EndWithParent, StopRequest
from .train_metrics import TrainMetrics

HOOKS_OF_A_STEP = (
    "on_train_batch_start",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_batch_end",
)


def make_own_callbacks(names: list[str] | str, values: dict[str, dict]) -> list[Callback]:
    """The user's callbacks.

    Args:
        names: classes in callbacks/.
        values: class -> arguments.

    Raises:
        UserError: what a class says against its arguments.
    """
    made = []
    for name in listed(names):
        cls, group = load("callback", name), f"callback_args.{name}"
        with refusals(group):
            made.append(cls(**complete(group, cls, values.get(name, {}))))
    return made


def make_callbacks(
    own: list[Callback],
    folder: Path | None,
    trainer_args: dict[str, Any],
    monitor: str,
    monitor_mode: str,
    early_stopping_patience: int | None,
    checkpoint_every_s: float,
    compile_model: bool,
    stop: StopRequest,
    log_scalar: Callable[[str, float, int], None],
) -> list[Callback]:
    """The callbacks of a training run.

    Args:
        own: the user's.
        folder: of the run, for checkpoints and metrics; None if nothing is stored.
        trainer_args: what they switch off (`enable_checkpointing`, ...) is left out.
        monitor: metric that tells the best checkpoint and when to stop.
        monitor_mode: "min" or "max".
        early_stopping_patience: validations without improvement to wait for; None: no limit.
        checkpoint_every_s: seconds between two checkpoints, besides each epoch.
        compile_model: whether `torch.compile` makes the model faster.
        stop: tells when a signal has asked the training to end.
        log_scalar: tells a metric to sacred's other observers: name, value, step.
    """
    if trainer_args.get("barebones"):  # Lightning's own word for a bare loop
        return own
    means = TrainMetrics()
    callbacks = [FiniteLoss(monitor), MonitorExists(monitor), EndWithParent()]
    callbacks += [means, SpeedReport(means), EpochReport(folder, log_scalar)]
    if compile_model:
        callbacks.append(Compile())
    if trainer_args.get("enable_progress_bar") is not False:
        callbacks.append(ProgressBar(means, refresh_rate=50))
    if folder and trainer_args.get("logger") is not False:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if early_stopping_patience is not None:
        patience = early_stopping_patience
        callbacks.append(EarlyStopping(monitor, patience=patience, mode=monitor_mode))
    saves = trainer_args.get("enable_checkpointing") is not False
    checkpoints = folder / "checkpoints" if folder and saves else None
    # The last, so that what it saves has seen all the others.
    return [
        *callbacks,
        *own,
        Checkpoints(checkpoints, monitor, monitor_mode, checkpoint_every_s, stop),
    ]


def skip_empty_hooks(trainer: Trainer, model: LightningModule) -> None:
    """Spares each step some fifty calls of hooks that do nothing.

    Lightning passes over a hook that cannot be called, at a fraction of the cost.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]  # Lightning does not declare it
    for base, owners in ((Callback, callbacks), (LightningModule, [model])):
        for owner in owners:
            for hook in HOOKS_OF_A_STEP:
                if getattr(type(owner), hook) is getattr(base, hook):
                    setattr(owner, hook, None)
