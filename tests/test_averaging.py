"""Weights that are averaged, and those of 64 bits: stopped, and trained longer."""

from __future__ import annotations

import pytest
import torch
from helpers import Project
from shaky import differences, outcome
from test_plain_attributes import STOPS

MODELS = """
import torch
from pytorch_lightning.callbacks import (
    EMAWeightAveraging,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import SWALR, AveragedModel

from .mnist_classifier import MNISTModel


class Averaged(MNISTModel):
    def __init__(self, input_shape, num_classes: int, by: str):
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [CosineAnnealingLR(optimizer, 10)]

    def configure_callbacks(self):
        return {
            "mean": lambda: [WeightAveraging()],
            "ema": lambda: [EMAWeightAveraging(decay=0.9)],
            "swa": lambda: [
                StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1, annealing_epochs=3)
            ],
        }[self.hparams.by]()


class ByHand(MNISTModel):
    def __init__(self, input_shape, num_classes: int):
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()
        self.averaged = [AveragedModel(self.head)]  # in a list: not in `state_dict`

    def on_train_batch_end(self, *_):
        self.averaged[0].update_parameters(self.head)
        self.schedule.step()

    def on_train_epoch_end(self):
        self.log("averaged", sum(p.sum() for p in self.averaged[0].parameters()))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        self.schedule = SWALR(optimizer, swa_lr=0.01, anneal_epochs=30)
        return optimizer
"""
WIDE = """
from .mnist_classifier import MNISTModel


class Wide(MNISTModel):
    def __init__(self, input_shape, num_classes: int, wide_at: str = ""):
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()

    def on_train_start(self):
        if self.hparams.wide_at == "on_train_start":
            self.double()

    def forward(self, images):
        return super().forward(images.to(self.head.weight.dtype))
"""
HALVES = """
from pytorch_lightning import Callback


class Halves(Callback):
    def on_train_end(self, trainer, pl_module):
        pl_module.head.weight.data.div_(2)
"""
WORDS = "callback_names=Stops dataset_args.source=sample trainer_args.limit_train_batches=5"
WORDS = f"{WORDS} trainer_args.limit_val_batches=2 trainer_args.num_sanity_val_steps=0".split()
LONG = "trainer_args.max_epochs=4"


@pytest.fixture(scope="module")
def project(copy_project) -> Project:
    plug_ins = {"models/averaged.py": MODELS, "callbacks/stops.py": STOPS}
    return copy_project(plug_ins | {"callbacks/halves.py": HALVES, "models/wide.py": WIDE})


CASES = [("Averaged", "model_args.by=mean"), ("Averaged", "model_args.by=ema")]
CASES += [("Averaged", "model_args.by=swa"), ("ByHand", "seed=42")]


@pytest.mark.parametrize(("model", "word"), CASES)
def test_a_stopped_training_goes_on_to_the_same_average_and_rate(
    project, forks, tmp_path, model, word
):
    words = ["train", "with", f"model_name={model}", word, *WORDS, LONG]
    forks.run(project, *words, cwd=tmp_path / "whole")
    whole = outcome(tmp_path / "whole", model)
    folder = tmp_path / "stopped"
    folder.mkdir()
    (folder / "stop").write_text("batch 12")
    assert forks(project, folder, words) == 1
    (folder / "stop").unlink()
    forks.run(project, "train", "with", "resume=last", cwd=folder)
    assert differences(whole, outcome(folder, model)) == []


@pytest.mark.parametrize(("model", "word"), [*CASES[:2], CASES[3]])
def test_more_epochs_go_on_from_the_weights_and_not_from_their_average(
    project, forks, tmp_path, model, word
):
    words = ["train", "with", f"model_name={model}", word, *WORDS]
    forks.run(project, *words, LONG, cwd=tmp_path / "whole")
    longer = tmp_path / "longer"
    forks.run(project, *words, "trainer_args.max_epochs=2", cwd=longer)
    printed = forks.run(project, "train", "with", "resume=last", LONG, cwd=longer)
    assert "not to the same bits" not in printed
    whole, longer = outcome(tmp_path / "whole", model), outcome(longer, model)
    assert differences(whole["weights"], longer["weights"]) == []
    assert differences(whole["metrics"], longer["metrics"]) == []


@pytest.mark.parametrize(
    ("model", "word", "by"),
    [(*CASES[2], "StochasticWeightAveraging"), ("ByHand", "callback_names=Stops,Halves", "Halves")],
)
def test_weights_that_a_callback_replaces_at_the_end_are_named(
    project, forks, tmp_path, model, word, by
):
    words = [f"model_name={model}", *WORDS, "trainer_args.max_epochs=2", word]
    forks.run(project, "train", "with", *words, cwd=tmp_path)
    printed = forks.run(project, "train", "with", "resume=last", LONG, cwd=tmp_path)
    said = f"not to the same bits: the training goes on from the weights that {by} has made at its"
    assert printed.count(said) == 1


@pytest.mark.parametrize(
    "word", ["model_args.wide_at=on_train_start", "trainer_args.precision=64-true"]
)
def test_64_bit_weights_are_resumed_as_such(project, forks, tmp_path, word):
    """They are loaded into a model of 32 bits at first, and made wide later."""
    words = ["train", "with", "model_name=Wide", word, *WORDS, LONG]
    forks.run(project, *words, cwd=tmp_path / "whole")
    whole = outcome(tmp_path / "whole", "Wide")
    assert {w.dtype for w in whole["weights"].values()} == {torch.float64}
    folder = tmp_path / "stopped"
    folder.mkdir()
    (folder / "stop").write_text("batch 12")
    assert forks(project, folder, words) == 1
    (folder / "stop").unlink()
    forks.run(project, "train", "with", "resume=last", cwd=folder)
    assert differences(whole, outcome(folder, "Wide")) == []
