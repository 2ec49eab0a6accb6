"""What a training run writes can be read back: other values are made plain, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import DEBUG, read, tree_module

DATASET = """
import numpy as np
import torch

from . import SplitDataset


class Counted(SplitDataset):
    input_shape = (2,)

    def __init__(self, split: str):
        self.targets = torch.arange(40) % 2
        self.num_classes = self.targets.numpy().max() + 1

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.zeros(2), self.targets[index]
"""
MODELS = """
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from .mnist_classifier import MNISTModel


class Cosine(MNISTModel):
    def __init__(self, input_shape, num_classes: int, folder: Path = Path("here")):
        super().__init__((1, 1, 2), num_classes, hidden_dimension=4)
        self.save_hyperparameters()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        schedule = LambdaLR(optimizer, lambda epoch: np.cos(0.1 * epoch))
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class Shaped(MNISTModel):
    def __init__(
        self,
        input_shape,
        num_classes: int,
        sizes: tuple = (1, 2),
        names: dict = {1: "one"},  # noqa: B006
        checkpoint_path: str = "none",
    ):
        if not isinstance(sizes, tuple) or list(names) != [1]:
            raise TypeError(f"{sizes} {names}")
        super().__init__(input_shape, num_classes)
        self.save_hyperparameters()


class Activated(MNISTModel):
    def __init__(self, input_shape, num_classes: int, activation=nn.ReLU):
        super().__init__(input_shape, num_classes)
        self.save_hyperparameters()


class Forgetful(MNISTModel):
    def __init__(self, input_shape, num_classes: int, activation=nn.ReLU):
        super().__init__(input_shape, num_classes)
        self.save_hyperparameters(ignore=["activation"])


class Keeps(MNISTModel):
    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = {"activation": nn.ReLU}


class OddAdam(torch.optim.Adam):
    def step(self, closure=None):
        self.param_groups[0]["shape"] = np.ones(2)
        return super().step(closure)


class OddOptimizer(MNISTModel):
    def configure_optimizers(self):
        return OddAdam(self.parameters())


class OddLambda:
    def __init__(self):
        self.turns = slice(3)

    def __call__(self, epoch):
        return 1.0


class OddSchedule(MNISTModel):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [LambdaLR(optimizer, OddLambda())]
"""

COUNTS = """
from pytorch_lightning import Callback


class Counts(Callback):
    def on_train_batch_end(self, *_):
        print("another step")
"""


@pytest.fixture(scope="module")
def project(copy_project):
    plug_ins = {"datasets/counted.py": DATASET, "models/odd.py": MODELS}
    return copy_project(plug_ins | {"callbacks/counts.py": COUNTS})


def test_numbers_and_paths_of_other_kinds_are_made_plain(project, tmp_path):
    """numpy's in the dataset and the schedule, and a Path: evaluated and resumed."""
    words = "model_name=Cosine dataset_name=Counted trainer_args.max_epochs=2"
    project.module("train", "with", *words.split(), cwd=tmp_path)
    words = ["trainer_args.max_epochs=3", "resume=Cosine/1"]
    project.module("train", "with", *words, cwd=tmp_path)
    project.module("evaluate", "with", "run=Cosine/1", cwd=tmp_path)
    folder = tmp_path / "model_data" / "Cosine" / "1"
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["hyper_parameters"]["num_classes"] == 2
    assert content["hyper_parameters"]["folder"] == "here"
    assert type(content["optimizer_states"][0]["param_groups"][0]["lr"]) is float
    assert read(folder / "info.json")["model_args"]["num_classes"] == 2


def test_a_model_is_rebuilt_from_the_hyperparameters_in_its_checkpoint(project, tmp_path):
    """Which keep tuples and integer keys; an argument may be called as one of Lightning's."""
    project.module("train", *DEBUG, "model_name=Shaped", cwd=tmp_path)
    project.module("evaluate", "with", "run=Shaped/1", cwd=tmp_path)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("Activated", "model_args.activation=<class 'torch.nn.modules.activation.ReLU'> could not"),
        ("Keeps", "mine.activation=<class 'torch.nn.modules.activation.ReLU'> could not be read"),
        ("OddOptimizer", "optimizer_states[0].param_groups[0].shape=array([1., 1.]) could not be"),
        ("OddSchedule", "lr_schedulers[0].lr_lambdas[0].turns=slice(None, 3, None) could not be"),
    ],
)
def test_what_could_not_be_read_back_is_refused_by_name(project, forks, tmp_path, model, said):
    """Before the second step: an epoch may take days."""
    words = ["dataset_args.source=sample", "trainer_args.max_epochs=1", "callback_names=Counts"]
    assert forks(project, tmp_path, ["train", "with", f"model_name={model}", *words]) == 1
    printed = (tmp_path / "log.txt").read_text()
    assert said in printed
    assert "take text or a number and build it inside" in printed
    assert "Traceback" not in printed
    assert printed.count("another step") <= 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_an_argument_that_the_model_does_not_save_has_its_default(project, tmp_path):
    project.module("train", *DEBUG, "model_name=Forgetful", cwd=tmp_path)
    project.module("evaluate", "with", "run=Forgetful/1", cwd=tmp_path)


def test_what_is_plain_in_essence():
    essence = tree_module("engine.runs.files").essence
    made = essence({"a": [np.float64(0.5), (np.int64(2), Path("x"))], np.int64(3): range(2)})
    assert made == {"a": [0.5, (2, "x")], 3: [0, 1]}
    assert type(made["a"][0]) is float
    assert type(made["a"][1][0]) is int
    kept = {"weights": [torch.zeros(2)], "deep": {"a": (1, "x")}}
    assert essence(kept) is kept
