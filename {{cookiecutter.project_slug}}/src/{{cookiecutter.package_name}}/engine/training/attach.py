"""The callbacks of every training run, as the configuration has them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback
from pytorch_lightning.callbacks import LearningRateMonitor

from ..config.checks import listed
from ..config.invocation import Invocation
from ..config.signatures import complete
from ..errors import refusals
from ..plugins import load
from ..runs.folder import has_trained
from .checkpoints import Checkpoints
from .early_stopping import EarlyStopping
from .end_weights import EndWeights
from .ending import EndWithinEpoch
from .finite import FiniteLoss
from .monitor import MonitorExists, command_without_monitor
from .own_loaders import BatchSizes
from .profile import ProfileReport
from .progress import EpochReport, ProgressBar
from .readable import ReadableCheckpoints
from .reconfigure import Reconfigure
from .speed import Compile, SpeedReport
from .stopping import EndWithParent, StopRequest
from .train_metrics import TrainMetrics
from .whole_epochs import WholeEpochs


def make_own_callbacks(names: list[str] | str, values: dict[str, dict[str, Any]]) -> list[Callback]:
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
    invocation: Invocation,
) -> list[Callback]:
    """The callbacks of a training run.

    Args:
        own: the user's.
        folder: of the run, for checkpoints and metrics; None if nothing is stored.
        trainer_args: what they switch off (`enable_checkpointing`, ...) is left out.
        monitor: metric that decides which checkpoint is the best, and when to stop early.
        monitor_mode: "min" or "max".
        early_stopping_patience: validations without improvement to wait for; None: no limit.
        checkpoint_every_s: seconds between two checkpoints, besides each epoch.
        compile_model: whether the model is compiled with `torch.compile`.
        stop: says whether a signal has requested the end of the training.
        invocation: of `train`: it knows what has changed where a run is resumed, and is told what
            is measured and saved.
    """
    if trainer_args.get("barebones"):  # Lightning's own word for a bare loop
        return own
    means = TrainMetrics()
    saves = trainer_args.get("enable_checkpointing") is not False
    place = folder / "checkpoints" if folder and saves else None
    resumed, log_scalar = invocation.resumed, invocation.experiment.log_scalar
    reconfigure = Reconfigure(resumed.changes) if resumed and resumed.changes else None
    on_saved = partial(has_trained, invocation)
    checkpoints = Checkpoints(
        place, monitor, monitor_mode, checkpoint_every_s, stop, reconfigure, on_saved
    )
    callbacks: list[Callback] = [EndWeights(), EndWithinEpoch(checkpoints)]
    callbacks += [reconfigure] if reconfigure else []
    command = command_without_monitor(invocation)
    callbacks += [BatchSizes(), FiniteLoss(monitor), MonitorExists(monitor, command)]
    callbacks += [EndWithParent(), means, SpeedReport(means), ReadableCheckpoints(), WholeEpochs()]
    if trainer_args.get("profiler"):
        callbacks.append(ProfileReport(folder))
    if compile_model:
        callbacks.append(Compile())
    if trainer_args.get("enable_progress_bar") is not False:
        callbacks.append(ProgressBar(means, refresh_rate=50))
    if folder and trainer_args.get("logger") is not False:
        callbacks.append(LearningRateMonitor(logging_interval="epoch"))
    if early_stopping_patience is not None:
        patience = early_stopping_patience
        callbacks.append(EarlyStopping(monitor, patience=patience, mode=monitor_mode))
    # Behind the others, so that they have seen the batch or epoch that it saves.
    # `Trainer.checkpoint_callback` is the first `Checkpoint`; the last one is no other's.
    return [*callbacks, *own, checkpoints, EpochReport(folder, log_scalar, means)]
