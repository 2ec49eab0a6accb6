"""Lightning's Trainer: our defaults, then whatever the configuration says."""

from __future__ import annotations

import contextlib
import errno
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from ..errors import UserError, refusals
from ..runs.checkpoint_file import AtomicCheckpointIO, read_checkpoint, resume_state
from .checkpoints import Checkpoints, checkpoints_of
from .lightning_internals import empty_hooks_skipped
from .save_points import SavePoint
from .speed import NoProfiler

DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def make_trainer(
    folder: Path | None,
    callbacks: list[Callback],
    trainer_args: dict[str, Any],
    first_logged_step: int | None = None,
) -> Trainer:
    """The Trainer of a run.

    Args:
        folder: of the run; None: nothing is logged.
        callbacks: of the run.
        trainer_args: as configured.
        first_logged_step: what TensorBoard has from this step on is replaced.
    """
    ours: dict[str, Any] = {
        "callbacks": callbacks,
        "default_root_dir": folder,
        "use_distributed_sampler": False,  # the loaders know their rank
    }
    if not trainer_args.get("barebones"):  # which takes none of these
        curves: dict[str, Any] = {"name": "", "version": "", "default_hp_metric": False}
        curves["purge_step"] = first_logged_step
        ours |= {
            "logger": TensorBoardLogger(folder, **curves) if folder else False,
            "enable_model_summary": False,
            "plugins": [AtomicCheckpointIO()],
            "profiler": NoProfiler(),
        }
    configured = {k: v for k, v in trainer_args.items() if k != "enable_checkpointing"}
    if configured.get("logger") in (None, True):  # what a run has anyway
        configured.pop("logger", None)
    return Trainer(**(ours | configured))


def fit(
    trainer: Trainer, model: LightningModule, data: LightningDataModule, start: Path | None
) -> None:
    """Trains the model, from a checkpoint if there is one, which is read without running code."""
    with empty_hooks_skipped(trainer, model), _lacking_explained(trainer, model):
        trainer.fit(model, data, ckpt_path=start, weights_only=True if start else None)


@contextlib.contextmanager
def _lacking_explained(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Names what a resumed epoch lacks, where the model or a callback made it earlier in it."""
    try:
        yield
    except AttributeError as error:
        checkpoints = checkpoints_of(trainer)
        users: list[object] = [model, *trainer.callbacks]  # type: ignore[attr-defined]
        is_users = any(error.obj is user for user in users)
        if not checkpoints or not checkpoints.is_in_resumed_epoch or not is_users:
            raise
        raise UserError(
            f"resume: {type(error.obj).__name__} has no {error.name!r}: it was made earlier in the "
            "epoch within which the run was stopped, and could not be stored; make it in "
            f"on_train_epoch_start, or go on from the end of an epoch{_an_end(checkpoints)}"
        ) from error


def _an_end(checkpoints: Checkpoints) -> str:
    """How to resume from the end of an epoch, if a checkpoint was saved at one."""
    best = checkpoints.folder and checkpoints.folder / "best.ckpt"
    if not best or not best.is_file():
        return ""
    state = resume_state(read_checkpoint(best))
    is_within = state and SavePoint(state["save_point"]).is_within_epoch
    return "" if is_within else f": resume={best}"


@contextlib.contextmanager
def _another_size() -> Iterator[None]:
    """Weights of a checkpoint that do not fit the model as it is configured now."""
    try:
        yield
    except RuntimeError as error:
        said = str(error).splitlines()
        if not said or "loading state_dict for" not in said[0]:
            raise
        model, problems = said[0].rstrip(":").rpartition(" ")[2], [s.strip() for s in said[1:]]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(
            f"model_args: the run's weights do not fit {model} as it is now: {problems[0]}{more}"
        ) from error


@contextlib.contextmanager
def explained(folder: Path | None) -> Iterator[None]:
    """Turns what Lightning, the optimizer and the disk say while training into one line.

    Args:
        folder: of the run, or None.
    """
    with (
        refusals("trainer_args", (MisconfigurationException,)),
        refusals("trainer_args", (ValueError, RuntimeError), raised_in="pytorch_lightning"),
        refusals("model_args", (ValueError,), raised_in=str(Path("torch", "optim"))),
        _another_schedule(),
        _another_size(),
        _disk_problems(folder),
    ):
        yield


@contextlib.contextmanager
def _another_schedule() -> Iterator[None]:
    """A checkpoint whose learning-rate schedule is of a class that the model no longer makes."""
    try:
        yield
    except KeyError as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        if (Path(at.filename).name, at.name) != ("lr_scheduler.py", "load_state_dict"):
            raise
        raise UserError(
            "resume: the model's learning-rate schedule is another one than when the run was "
            f"stored (which has no {error}): go on with the sources of the run, or train anew"
        ) from error


@contextlib.contextmanager
def _disk_problems(folder: Path | None) -> Iterator[None]:
    """A disk that is full, read-only or gone is no bug."""
    before = threading.excepthook
    # TensorBoard writes in a thread of its own, whose OSErrors reach the main thread as well.
    threading.excepthook = lambda told: issubclass(told.exc_type, OSError) or before(told)
    try:
        yield
    except OSError as error:
        if not folder or (error.errno not in DISK_PROBLEMS and folder.is_dir()):
            raise
        raise UserError(
            f"{folder} could not be written ({error}); checkpoints saved before are kept"
        ) from error
    finally:
        threading.excepthook = before
