"""What a training run records before its first step, and says and returns after its last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from ..config.signatures import complete
from ..contracts import OwnBatches, SplitDataset, describe, files_of
from ..processes import say
from ..runs.files import plain, shown
from ..runs.provenance import fingerprint, machine
from ..runs.trial import trial_setting
from .progress import last_values
from .speed import SpeedReport


def training_record(
    dataset: SplitDataset,
    model_args: dict[str, Any],
    dataset_args: dict[str, Any],
    dataloader_args: dict[str, Any],
    trainer_args: dict[str, Any],
) -> dict[str, Any]:
    """What info.json says of a run: every argument with its default, data and machine."""
    loader_args = dataloader_args
    if not isinstance(dataset, OwnBatches):  # which has them among its own arguments
        loader_args = complete("dataloader_args", DataLoader, dataloader_args)
    return plain(
        model_args=model_args,
        dataset_args=dataset_args,
        dataloader_args=loader_args,
        trainer_args=complete("trainer_args", Trainer, trainer_args),
        data=describe(dataset),
        fingerprint=fingerprint(files_of(dataset)),
        machine=machine(),
    )


def report_training(
    trainer: Trainer,
    folder: Path | None,
    monitor: str,
    trainer_args: dict[str, Any],
    info: dict[str, Any],
) -> dict[str, float]:
    """Says how the run went; returns the last value of each metric, and the best score."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, SpeedReport):
            info["speed"] = callback.report
    info["trial"] = trial_setting(trainer_args, _whole(trainer))
    metrics = last_values(trainer, folder)
    best = trainer.callback_metrics.get(f"best_{monitor}")
    if best is not None:
        metrics[f"best_{monitor}"] = float(best)
        say(f"done   best {monitor} {best:.4f}")
    elif metrics and trainer.limit_val_batches:
        say(f"note   no {monitor!r} was measured: there is no best checkpoint, only the last one")
    if folder:
        say(f"run    {folder.parent.name}/{folder.name}, stored in {shown(folder)}")
    return metrics


def _whole(trainer: Trainer) -> dict[str, int | None]:
    """How many batches a process has of each split, if that is known, whatever limits are set."""
    whole: dict[str, int | None] = {}
    loaders: dict[str, Any] = {"train": trainer.train_dataloader, "val": trainer.val_dataloaders}
    for split, loader in loaders.items():
        try:
            whole[split] = len(loader)
        except TypeError:  # iterable data, none, or several
            whole[split] = None
    return whole
