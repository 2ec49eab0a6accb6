"""Makes the configured dataset and model, as they are trained, evaluated and rebuilt."""

from __future__ import annotations

import inspect
from typing import Any

from pytorch_lightning import LightningModule
from torch.nn.parameter import UninitializedParameter

from ..config.signatures import complete
from ..contracts import SplitDataset, describe
from ..errors import refusals
from ..plugins import load
from .checkpoint_file import refuse_unreadable
from .data_module import split_data_module
from .files import essence


def prepare_dataset(cls: type[SplitDataset], values: dict[str, Any]) -> dict[str, Any]:
    """Lets a dataset class fetch or check its data; returns all its arguments, resolved.

    Raises:
        UserError: an argument is missing, or the class refuses one.
    """
    values = complete("dataset_args", cls, values)
    wanted = inspect.signature(cls.prepare).parameters
    with refusals(f"dataset_args: {cls.__name__}"):
        resolved = cls.prepare(**{key: values[key] for key in wanted if key in values})
    return values | (resolved or {})


def make_splits(
    name: str, values: dict[str, Any], loader_values: dict[str, Any], seed: int, *splits: str
) -> tuple[dict[str, Any], list[SplitDataset]]:
    """The resolved arguments of a dataset class, and its splits.

    Args:
        name: of the class.
        values: arguments as configured.
        loader_values: `dataloader_args`, which are arguments of a LightningDataModule's, too.
        seed: of the run, for what a data module draws at random while it splits the data.
        splits: "train", "val" or "test".

    Raises:
        UserError: what the class says against its arguments or its data.
    """
    cls: Any = load("dataset", name)
    if not issubclass(cls, SplitDataset):
        values = complete("dataset_args", cls, loader_values | values)
        made = split_data_module(cls, values, splits, seed)
        return {key: value for key, value in values.items() if key not in loader_values}, made
    values = prepare_dataset(cls, values)
    with refusals(f"dataset_args: {name}"):
        return values, [cls(split, **values) for split in splits]


def make_model(
    name: str, values: dict[str, Any], dataset: SplitDataset
) -> tuple[dict[str, Any], LightningModule]:
    """The complete arguments of a model class, and a new model.

    Args:
        name: of the class.
        values: arguments as configured.
        dataset: supplies arguments that it knows (`num_classes`, ...).

    Raises:
        UserError: what the class says against its arguments, or that it keeps one which could not
            be read back from a checkpoint.
    """
    cls = load("model", name)
    values = complete("model_args", cls, values, known_by=dataset)
    with refusals(f"model_args: {name}"):
        model = cls(**values)
    refuse_unreadable(essence(dict(model.hparams)), "model_args")
    return values, model


def in_words(dataset: SplitDataset) -> str:
    """What a dataset says of itself, for a line of output."""
    return ", ".join(f"{key} {value}" for key, value in describe(dataset).items())


def count_parameters(model: LightningModule) -> str:
    """The number of a model's parameters, for a line of output."""
    known = [p.numel() for p in model.parameters() if not isinstance(p, UninitializedParameter)]
    lazy = " and more, by the first batch," if len(known) < len([*model.parameters()]) else ""
    return f"{sum(known):,}{lazy}"
