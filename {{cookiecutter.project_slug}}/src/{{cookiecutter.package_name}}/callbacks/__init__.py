"""What every training run attaches, steered by the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping, LearningRateMonitor

from .checkpoints import Checkpoints
from .progress import EpochReport, ProgressBar, epoch_metrics
from .sanity import MonitorExists

__all__ = ["epoch_metrics", "make_callbacks"]


def make_callbacks(
    folder: Path | None,
    trainer_args: dict,
    monitor: str,
    monitor_mode: str,
    early_stopping_patience: int | None,
    checkpoint_every_s: float,
    log_scalar: Callable[[str, float, int], None],
) -> list[Callback]:
    """The callbacks of a training run.

    Args:
        folder: of the run, for checkpoints and metrics; None if nothing is stored.
        trainer_args: what they switch off (`enable_checkpointing`, ...) is left out.
        monitor: metric that tells the best checkpoint and when to stop.
        monitor_mode: "min" or "max".
        early_stopping_patience: validations without improvement to wait for; None: no limit.
        checkpoint_every_s: seconds between two checkpoints, besides each epoch.
        log_scalar: tells a metric to sacred's other observers: name, value, step.
    """
    if trainer_args.get("barebones"):  # Lightning's own word for a bare loop
        return []
    callbacks = [EpochReport(folder, log_scalar), MonitorExists(monitor)]
    if trainer_args.get("enable_progress_bar") is not False:
        callbacks.append(ProgressBar(refresh_rate=50))
    if folder and trainer_args.get("logger") is not False:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if early_stopping_patience is not None:
        patience = early_stopping_patience
        callbacks.append(EarlyStopping(monitor, patience=patience, mode=monitor_mode))
    saves = folder and trainer_args.get("enable_checkpointing") is not False
    checkpoints = folder / "checkpoints" if saves else None
    # The last, so that what it saves has seen all the others.
    return [*callbacks, Checkpoints(checkpoints, monitor, monitor_mode, checkpoint_every_s)]
