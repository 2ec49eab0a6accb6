"""A stored run as objects again: its model, and one split of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule

from ..contracts import SplitDataset
from ..errors import UserError, refusals
from ..plugins import load
from .building import make_splits
from .checkpoint_file import read_checkpoint
from .files import plain
from .stored import Run


def rebuild_dataset(
    run: Run, split: str, overrides: dict[str, Any]
) -> tuple[dict[str, Any], SplitDataset]:
    """The resolved arguments of a run's dataset, and one of its splits.

    Args:
        run: a stored run.
        split: "train", "val" or "test".
        overrides: arguments that replace the recorded ones.

    Raises:
        UserError: the data cannot be had, or are not what the model was trained for.
    """
    recorded = run.info.get("dataset_args", run.config["dataset_args"])
    values, (dataset,) = make_splits(run.config["dataset_name"], recorded | overrides, split)
    for name, value in run.info.get("model_args", {}).items():
        supplied = name not in run.config["model_args"] and hasattr(dataset, name)
        if supplied and plain(now=getattr(dataset, name)) != {"now": value}:
            raise UserError(
                f"dataset_args: {name} is {getattr(dataset, name)!r} now, but {run.name} was "
                f"trained with {value!r}"
            )
    return values, dataset


def rebuild_model(run: Run, checkpoint: Path) -> LightningModule:
    """The trained model on the CPU; only weights and plain values are read from the checkpoint.

    Raises:
        UserError: the checkpoint is damaged, or the model's sources no longer fit it.
    """
    cls: type[LightningModule] = load("model", run.path.parent.name)
    read_checkpoint(checkpoint)  # separately: a misfit raises the same errors as damage
    try:
        return cls.load_from_checkpoint(
            checkpoint, map_location="cpu", weights_only=True, **run.info.get("model_args", {})
        )
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"{checkpoint} does not fit {cls.__name__} as it is now; the sources that it "
            f"was trained with are in {run.path}/sources ({error})"
        ) from error


def on_device(model: LightningModule, device: str) -> LightningModule:
    """The model in eval mode on a device; "auto" is the accelerator, or else the CPU.

    Raises:
        UserError: there is no such device.
    """
    with refusals(f"device={device!r}"):
        if device == "auto":
            device = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
        return model.to(device).eval()
