"""Finds every plug-in of this project, yours too, and builds it from the configuration or defaults.

A plug-in that cannot be built like that (a model that needs an argument, say, or a dataset whose
data are not here) is skipped with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import socket
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = next((ROOT / "src").glob("*/runner.py")).parent


def module(name: str):
    """A module of this project, by its name inside the package."""
    return importlib.import_module(f"{PACKAGE.name}.{name}")


contracts, signatures = module("engine.contracts"), module("engine.config.signatures")
check_needs = module("engine.config.checks").check_needs
UserError = module("engine.errors").UserError
CONFIG = module("train_config").train_ex.configurations[0].defaults
EVAL_CONFIG = module("eval_config").evaluation_ex.configurations[0].defaults
BASES = {  # the user's room -> what its classes are
    "models": LightningModule,
    "datasets": (contracts.SplitDataset, LightningDataModule),
    "evaluators": contracts.Evaluator,
    "callbacks": Callback,
}
FILES = [path for room in BASES for path in sorted((PACKAGE / room).rglob("*.py"))]
SPLITS = ("train", "val", "test")
# Of a model and data that the configuration does not name together: they may just not fit.
ERRORS = (Exception,)


def imported(path: Path):
    return module(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def found(room: str) -> list:
    """The classes of a room, for `pytest.mark.parametrize`."""
    classes = []
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] != room or path.name == "__init__.py":
            continue
        try:
            members = vars(imported(path))
        except ERRORS:  # a test of its own says so
            continue
        classes += [
            pytest.param(member, id=name)
            for name, member in members.items()
            if inspect.isclass(member)
            and member.__module__ == imported(path).__name__
            and issubclass(member, BASES[room])
            and not inspect.isabstract(member)
            and not name.startswith("_")
        ]
    return classes


@cache
def offline(cls: type) -> dict[str, str]:
    """Arguments with which a dataset of the starters needs no network: its sample, or files of
    its format that `<dataset>_files.py` makes up."""
    if "sample" in str(inspect.signature(cls).parameters.get("source")):
        return {"source": "sample"}
    maker = f"{cls.__module__.rpartition('.')[2].removesuffix('_dataset')}_files"
    if not Path(__file__).with_name(f"{maker}.py").exists():
        return {}
    folder = Path(tempfile.mkdtemp())
    importlib.import_module(maker).write(folder)
    return {"data_dir": str(folder)}


@cache
def splits(cls: type) -> dict[str, torch.utils.data.Dataset] | str:
    """Split -> dataset; or why there is none."""
    values = CONFIG["dataset_args"] if cls.__name__ == CONFIG["dataset_name"] else {}
    values = values | offline(cls)
    try:
        with mock.patch.object(socket.socket, "connect", side_effect=OSError("tests are offline")):
            _, parts = module("engine.runs.building").make_splits(
                cls.__name__, values, {}, 0, *SPLITS
            )
            return dict(zip(SPLITS, parts))
    except UserError as refusal:  # any other error is a bug
        return f"{cls.__name__} cannot be built here: {refusal}"


def configured(room: str, name: str) -> type:
    """The class that the configuration names; skips a test if its file cannot be imported."""
    for param in found(room):
        if param.id == name:
            return param.values[0]
    pytest.skip(f"{room}/ has no {name} that can be imported")


@dataclass
class Trained:
    """A model that had two batches of training and of validation by Lightning's Trainer."""

    model: LightningModule
    arguments: dict
    splits: dict
    trainer: Trainer
    before: dict  # weights, before the first step
    watch: Watch


@dataclass
class Watch(Callback):
    """Remembers whether losses and gradients were finite."""

    losses: list[bool] = field(default_factory=list)
    gradients: dict[str, bool] = field(default_factory=dict)

    def on_after_backward(self, trainer, pl_module):
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None:
                finite = bool(parameter.grad.to_dense().isfinite().all())
                self.gradients[name] = finite and self.gradients.get(name, True)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor):  # none with manual optimization
            self.losses.append(bool(loss.isfinite().all()))


def trained(cls: type, *callbacks: Callback) -> Trained:
    """A model, trained for two steps on the configured dataset or the first one that it fits."""
    outcome = _outcome(cls, callbacks)
    if isinstance(outcome, str):
        pytest.skip(outcome)
    return outcome


@cache
def _outcome(cls: type, callbacks: tuple[Callback, ...]) -> Trained | str:
    is_configured = cls.__name__ == CONFIG["model_name"]
    datasets = [param.values[0] for param in found("datasets")]
    datasets.sort(key=lambda dataset: dataset.__name__ != CONFIG["dataset_name"])
    reasons = []
    for dataset in datasets[:1] if is_configured else datasets:
        parts = splits(dataset)
        if isinstance(parts, str):
            reasons.append(parts)
            continue
        values = dict(CONFIG["model_args"]) if is_configured else {}
        try:
            values = signatures.complete("model_args", cls, values, known_by=parts["train"])
        except UserError as refusal:
            reasons.append(str(refusal))
            continue
        try:
            return _fit(cls, values, parts, callbacks)
        except ERRORS as error:
            if is_configured:
                raise
            reasons.append(f"with {dataset.__name__}: {error}")
    return f"{cls.__name__} fits no dataset that is here ({'; '.join(reasons)})"


def _fit(cls: type, values: dict, parts: dict, callbacks: tuple[Callback, ...]) -> Trained:
    torch.manual_seed(0)
    model, watch = cls(**values), Watch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training_data = module("engine.training.own_loaders").training_data
    trainer = Trainer(
        fast_dev_run=2,
        accelerator="cpu",
        devices=1,
        callbacks=[*callbacks, watch],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, training_data(parts["train"], parts["val"], {"batch_size": 8}, seed=0))
    return Trained(model, values, parts, trainer, before, watch)
