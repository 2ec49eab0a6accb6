"""A stored run as objects again: its model, and one split of its data."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden

from ..config.plain_values import with_lists
from ..config.signatures import complete, required_arguments
from ..contracts import SplitDataset
from ..errors import UserError, refusals
from ..plugins import load
from .building import make_splits
from .checkpoint_file import COMPILED, read_checkpoint, refuse_incomplete
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
    values, (dataset,) = make_splits(
        run.config["dataset_name"],
        recorded | overrides,
        run.config.get("dataloader_args", {}),
        run.config.get("seed", 0),
        split,
    )
    required = required_arguments(load("model", run.model_name))
    for name, value in run.info.get("model_args", {}).items():
        supplied = name in required - run.config["model_args"].keys() and hasattr(dataset, name)
        now = with_lists(plain(now=getattr(dataset, name, None)))
        if supplied and now != {"now": with_lists(value)}:
            raise UserError(
                f"dataset_args: {name} is {getattr(dataset, name)!r} now, but {run.name} was "
                f"trained with {value!r}"
            )
    return values, dataset


def rebuild_model(
    run: Run, checkpoint: Path, dataset: SplitDataset, overrides: dict[str, Any]
) -> LightningModule:
    """The trained model on the CPU; only weights and plain values are read from the checkpoint.

    Its arguments are the hyperparameters in the checkpoint; those that the model has not saved are
    the recorded ones, or else the dataset's.

    Args:
        run: a stored run.
        checkpoint: of that run.
        dataset: supplies arguments that are recorded nowhere.
        overrides: arguments that replace the stored ones.

    Raises:
        UserError: the checkpoint is damaged, the model refuses its arguments, or its sources no
            longer fit the checkpoint.
    """
    cls: type[LightningModule] = load("model", run.model_name)
    content = read_checkpoint(checkpoint)
    refuse_incomplete(content, checkpoint, ("state_dict",))
    values = run.info.get("model_args", {}) | _hyperparameters(cls, content) | overrides
    values = complete("model_args", cls, values, known_by=dataset)
    model = _make(run, cls, values)
    if is_overridden("setup", model) and _names(model.state_dict()) != _names(
        content["state_dict"]
    ):
        model = _make(run, cls, values, by_setup=True)
    try:
        model.on_load_checkpoint(content)
        model.load_state_dict(_as_named(content["state_dict"], model), strict=model.strict_loading)
    except UserError:
        raise
    except Exception as error:  # whatever a model of the user's own raises
        raise UserError(
            f"{checkpoint} does not fit {cls.__name__} as it is now; the sources that it "
            f"was trained with are in {run.path}/sources ({type(error).__name__}: {error})"
        ) from error
    return model


def _make(
    run: Run, cls: type[LightningModule], values: dict[str, Any], by_setup: bool = False
) -> LightningModule:
    """A new model with the parts that it was trained with.

    Args:
        run: for the refusal.
        cls: of the model.
        values: all of its arguments.
        by_setup: whether `setup` makes some of its parts; it may also do what only a training
            needs, so that it is called for no other reason.

    Raises:
        UserError: in one line, whatever the class raises.
    """
    place = cls.__name__
    try:
        model = cls(**values)
        if by_setup:
            place = f"{cls.__name__}.setup, which makes layers that {run.name} was trained with"
            model.setup("fit")
        model.configure_model()
    except UserError:
        raise
    except Exception as error:  # whatever a constructor of the user's own raises
        raise UserError(
            f"model_args: {place}: {type(error).__name__}: {error}; an argument that is stored "
            "with the run can be replaced: `evaluate with model_args.NAME=VALUE`; the sources that "
            f"it was trained with are in {run.path}/sources"
        ) from error
    return model


def _names(state_dict: dict[str, Any]) -> set[str]:
    return {name.replace(COMPILED, "") for name in state_dict}


def _as_named(state_dict: dict[str, Any], model: LightningModule) -> dict[str, Any]:
    """Weights by the names that they have in a model, some of whose parts may be compiled."""
    names = {name.replace(COMPILED, ""): name for name in model.state_dict()}
    return {names.get(n.replace(COMPILED, ""), n): value for n, value in state_dict.items()}


def _hyperparameters(cls: type[LightningModule], content: dict[str, Any]) -> dict[str, Any]:
    """What `save_hyperparameters()` has put into a checkpoint, as arguments of the class."""
    saved = content.get(cls.CHECKPOINT_HYPER_PARAMS_KEY) or {}
    parameters = inspect.signature(cls).parameters
    # `save_hyperparameters(hparams)`: the name of the one argument that holds all of them.
    name = content.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
    if name is not None and name in parameters:
        return {name: saved}
    return {key: value for key, value in saved.items() if key in parameters}


def on_device(model: LightningModule, device: str) -> LightningModule:
    """The model in eval mode on a device; "auto" is the accelerator, or else the CPU.

    Raises:
        UserError: there is no such device.
    """
    with refusals(f"device={device!r}"):
        if device == "auto":
            device = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
        return model.to(device).eval()
