"""A model is rebuilt from its checkpoint as it was trained, or one line says why it cannot be."""

from __future__ import annotations

import shutil

import pytest
import torch
from helpers import DEBUG

DATASET = """
import torch

from . import SplitDataset


class Graph(SplitDataset):
    input_shape, num_classes = (1, 1, 2), 2

    def __init__(self, split: str):
        self.adjacency = torch.eye(2)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((1, 1, 2), index / 8.0), index % 2
"""
MODELS = """
from pathlib import Path

import torch
from torch import nn

from .mnist_classifier import MNISTModel


class Parts(MNISTModel):
    def __init__(
        self, input_shape, num_classes: int, pretrained: str | None = None, compiled: bool = False
    ):
        if pretrained:
            Path(pretrained).read_text()
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()

    def setup(self, stage):
        if stage == "fit" and not self.hparams.compiled:
            self.extra = nn.Linear(10, 10)
        if self.hparams.compiled:
            self.head = torch.compile(self.head, backend="eager")

    def forward(self, images):
        logits = super().forward(images)
        return logits if self.hparams.compiled else self.extra(logits)


class Wired(MNISTModel):
    def __init__(self, input_shape, num_classes: int, adjacency, saved: bool = True):
        if not isinstance(adjacency, torch.Tensor):
            raise TypeError(f"adjacency is {adjacency!r}")
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters(ignore=[] if saved else ["adjacency"])


class Unwilling(MNISTModel):
    def setup(self, stage):
        self.extra = nn.Linear(self.trainer.max_epochs, 1)
"""


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project({"models/parts.py": MODELS, "datasets/graph.py": DATASET})


@pytest.fixture
def commands(project, forks, tmp_path):
    """Runs a command that succeeds: words -> what it printed; `refused`: one that does not."""

    def the_run(words: tuple[str, ...]) -> list[str]:
        """Names the run that is evaluated: trial runs are only found by name."""
        if words[0] != "evaluate":
            return [*words]
        (model,) = (tmp_path / "model_data").glob("[A-Z]*")
        return ["evaluate", "with", f"run={model.name}/1", *words[2:]]

    def run(*words: str) -> str:
        return forks.run(project, *the_run(words), cwd=tmp_path)

    def refused(*words: str) -> str:
        log = tmp_path / "log.txt"
        before = log.stat().st_size
        assert forks(project, tmp_path, the_run(words)) == 1
        printed = log.read_bytes()[before:].decode()
        assert "Traceback" not in printed
        return printed

    run.refused, run.checkpoints = refused, tmp_path / "model_data" / "Parts" / "1" / "checkpoints"
    return run


@pytest.mark.parametrize("compiled", [False, True])
def test_what_setup_made_or_compiled_is_evaluated_and_resumed(commands, compiled):
    printed = commands("train", *DEBUG, "model_name=Parts", f"model_args.compiled={compiled}")
    loss = printed.partition("val_loss ")[2].split()[0]
    assert "test_loss" in commands("evaluate")
    resumed = commands("train", "with", "resume=last", "trainer_args.max_epochs=2")
    assert f"val_loss {loss}" not in resumed  # it has gone on from there
    names = torch.load(commands.checkpoints / "best.ckpt", weights_only=True)["state_dict"]
    assert any(name.startswith(("extra", "head._orig_mod")) for name in names)


def test_an_evaluation_is_that_of_the_trained_weights(commands):
    """Not of parts that were made anew: those are random."""
    commands("train", *DEBUG, "model_name=Parts")
    results = [commands("evaluate", "with", f"seed={seed}") for seed in (1, 2)]
    losses = [next(line for line in r.splitlines() if "test_loss" in line) for r in results]
    assert losses[0] == losses[1]


def test_an_argument_that_only_training_needs_is_replaced(commands, tmp_path):
    (tmp_path / "weights").touch()
    commands("train", *DEBUG, "model_name=Parts", "model_args.pretrained=weights")
    (tmp_path / "weights").unlink()
    said = commands.refused("evaluate")
    assert "model_args: Parts: FileNotFoundError: " in said
    assert "'weights'; an argument" in said
    assert "evaluate with model_args.NAME=VALUE" in said
    commands("evaluate", "with", "model_args.pretrained=None")
    said = commands.refused("evaluate", "with", "model_args.pretraine=None")
    assert "model_args: 'pretraine' is unknown: did you mean 'pretrained'?" in said
    said = commands.refused("evaluate", "with", "model_args.compiled=abc")
    assert "model_args.compiled='abc' does not fit: it takes bool" in said


def test_a_setup_that_needs_a_trainer_is_named(commands):
    commands("train", *DEBUG, "model_name=Unwilling", "model_args.hidden_dimension=4")
    said = commands.refused("evaluate")
    assert "Unwilling.setup, which makes layers that Unwilling/1 was trained with" in said


@pytest.mark.parametrize("saved", [True, False])
def test_a_tensor_of_the_dataset_reaches_the_model(commands, saved):
    """From the checkpoint, or else from the dataset anew; JSON cannot hold it."""
    words = ["model_name=Wired", "dataset_name=Graph", f"model_args.saved={saved}"]
    commands("train", "with", "trainer_args.max_epochs=1", *words)
    commands("evaluate")
    commands("train", "with", "resume=last", "trainer_args.max_epochs=2")
    assert "identical" in commands("train", "reproduce", "with", "run=Wired/1")


def test_a_checkpoint_that_lacks_something_is_named(commands):
    commands("train", *DEBUG, "model_name=Parts")
    best, last = (commands.checkpoints / f"{name}.ckpt" for name in ("best", "last"))
    whole = torch.load(last, weights_only=True)
    resume = ["train", "with", "resume=last", "trainer_args.max_epochs=2"]
    best.unlink()
    for part in ("state_dict", "loops", "optimizer_states", "lr_schedulers", "callbacks"):
        last.unlink()
        torch.save({key: value for key, value in whole.items() if key != part}, last)
        assert f"it lacks {part}" in commands.refused(*resume)
        if part == "state_dict":
            assert "it lacks state_dict" in commands.refused("evaluate")
    last.unlink()
    torch.save([1], last)
    assert "is no checkpoint of a run: it holds a list" in commands.refused("evaluate")
    last.unlink()
    last.symlink_to("nowhere")
    for command in (["evaluate"], resume):
        assert "last.ckpt is a link to nowhere, which is not there" in commands.refused(*command)
    torch.save(whole, best)
    assert "resume Parts/1 from best.ckpt" in commands(*resume)


def test_a_checkpoint_of_another_model_is_named(commands, project):
    commands("train", *DEBUG, "model_name=Parts")
    source = project.package / "models" / "parts.py"
    before = source.read_text()
    try:
        source.write_text(before.replace("nn.Linear(10, 10)", "nn.Linear(10, 11)"))
        said = commands.refused("evaluate")
    finally:
        source.write_text(before)
        shutil.rmtree(source.parent / "__pycache__", ignore_errors=True)
    assert "best.ckpt does not fit Parts as it is now" in said
    assert "extra.weight" in said
