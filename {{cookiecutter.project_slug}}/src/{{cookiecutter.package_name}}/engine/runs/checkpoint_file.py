"""Checkpoint files: written whole or not at all, and read without running what is in them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from ..errors import UserError
from .files import essence

RESUME_STATE = "resume_state"  # key of a checkpoint
COMPILED = "_orig_mod."  # torch.compile's name for a module within the one that it makes of it
# What Lightning loads when a run is resumed (`_CheckpointConnector`, 2.6).
OF_A_TRAINING = ("state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")


class DamagedError(UserError):
    """A checkpoint that is cut off or has been altered."""

    __module__ = "builtins"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint, and puts the new one in its place when it is on disk.

    Lightning (lightning_fabric/utilities/cloud_io.py, `_atomic_save`, 2.6) writes by way of the
    folder for temporary files: on another file system its last step is a copy, and a kill leaves
    both files.
    """

    is_checked, writes = False, True

    @contextlib.contextmanager
    def only_checking(self) -> Iterator[None]:
        """Within it nothing is written: what would be is held against what can be read back."""
        self.is_checked = self.writes = False
        try:
            yield
        finally:
            self.writes = True

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        path, content = Path(path), essence(checkpoint)
        if not self.is_checked:  # each later checkpoint of a run holds values of the same kinds
            refuse_unreadable(content)
            self.is_checked = True
        if not self.writes:
            return
        with _replacing(path) as part, part.open("xb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())


def name_as_well(path: Path, other: Path) -> None:
    """Gives a checkpoint a second name, in the place of what has it: one file, written once.

    The two stay independent: a file is never written in place, and whoever replaces one of the
    names leaves the other. Where a file has one name only (FAT, some network file systems), the
    second is a copy.
    """
    with _replacing(other) as part:
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside a file, and puts what was written there in the place of the file.

    Raises:
        UserError: it cannot be written; the file is as it was.
    """
    part = path.with_name(f"{path.name}.tmp")
    try:
        # What a kill has left may be a second name of a checkpoint, which must not be written to.
        part.unlink(missing_ok=True)
        yield part
        os.replace(part, path)
        if os.name != "nt":  # the directory entry as well; Windows opens no folders
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        # torch hides what the file system said behind its own complaint.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        kept = "; what was saved there before is kept" if path.exists() else ""
        raise UserError(f"{path} could not be written ({cause}){kept}") from error


def refuse_unreadable(value: Any, place: str = "") -> None:
    """Refuses a value that could not be read back from a checkpoint without running code.

    Args:
        value: what a checkpoint would hold, or a part of it.
        place: dotted path to that part.

    Raises:
        UserError: names the place, the value, and what to write in its stead.
    """
    if value is None or isinstance(value, (bool, int, float, str, torch.Tensor)):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_unreadable(item, f"{place}.{key}" if place else str(key))
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            refuse_unreadable(item, f"{place}[{number}]")
    elif not _survives(value):
        name = place.rpartition(".")[2]
        raise UserError(
            f"{place}={value!r} could not be read back from a checkpoint, which holds plain values "
            f"only: take text or a number and build it inside, or (for an argument of the model) "
            f"leave it out: save_hyperparameters(ignore=[{name!r}])"
        )


def _survives(value: Any) -> bool:
    """Whether `torch.load(weights_only=True)` reads the value, as it reads a dtype or a device."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # whatever a foreign object's pickling raises
        return False
    return True


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint on the CPU: weights and plain values.

    The file is read once, piece by piece, to see that it is whole; tensors are mapped then, and
    take memory when they are used.

    Raises:
        DamagedError: the file is not what was once written.
        UserError: it holds objects that would have to be built by code.
    """
    if path.is_symlink() and not path.exists():
        raise DamagedError(f"{path} is a link to {path.readlink()}, which is not there")
    is_whole = zipfile.is_zipfile(path)
    try:
        if is_whole:
            with zipfile.ZipFile(path) as archive:
                if (broken := archive.testzip()) is not None:
                    raise DamagedError(f"{path} is damaged: {broken} in it has changed")
        content: dict[str, Any] = torch.load(
            path, map_location="cpu", weights_only=True, mmap=is_whole
        )
        return content
    except UnpicklingError as error:
        if not is_whole:
            raise DamagedError(
                f"{path} is damaged, or no checkpoint but objects that could run code ({error})"
            ) from error
        raise UserError(
            f"{path} is not loaded: it holds objects that could run code; checkpoints hold "
            f"weights and plain values only ({error})"
        ) from error
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise DamagedError(f"{path} is damaged: {str(error) or 'it is empty'}") from error


def refuse_incomplete(content: dict[str, Any], path: Path, parts: Iterable[str]) -> None:
    """Refuses a checkpoint without a part that is needed.

    Raises:
        DamagedError: names the part.
    """
    if not isinstance(content, dict):
        raise DamagedError(f"{path} is no checkpoint of a run: it holds a {type(content).__name__}")
    if missing := [part for part in parts if part not in content]:
        raise DamagedError(f"{path} is no whole checkpoint: it lacks {', '.join(missing)}")


def resume_state(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """What a checkpoint has besides Lightning's own state, so that it resumes to the same bits.

    Returns:
        `save_point`, `ranks` (of each process `random_states`, `sums`, `callbacks`, `metrics`),
        `num_training_batches`, `next_log_step` and `callback_metrics`; None if somebody else than
        `engine.training.checkpoints` has saved it.
    """
    if "exact" not in checkpoint:
        return checkpoint.get(RESUME_STATE)
    # Version 0.4.0 and before: the same under other names.
    old = checkpoint["exact"]
    # In 0.2.0 the models logged their loss. `TrainMetrics` does it since, and would be shadowed.
    ours = () if all("callbacks" in rank for rank in old["ranks"]) else ("train_loss",)
    return {
        "save_point": old["moment"],
        "num_training_batches": old["batches"],
        "next_log_step": old["next_log_step"],
        "callback_metrics": old["callback_metrics"],
        "ranks": [
            {
                "random_states": rank["chance"],
                "sums": [entry for entry in rank["sums"] if entry["log"]["name"] not in ours],
                "callbacks": rank.get("callbacks", {}),
                "metrics": {
                    name: {
                        "update_count": values["_update_count"],
                        "state": {k: v for k, v in values.items() if k != "_update_count"},
                    }
                    for name, values in rank["metrics"].items()
                },
            }
            for rank in old["ranks"]
        ],
    }
