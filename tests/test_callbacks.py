"""Callbacks of the user's own: named like every plug-in, kept through a stop and a resume."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import torch
from helpers import DEFAULT, Project, read
from shaky import differences

PLUG_INS = {
    "models/shaky.py": """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class Shaky(pl.LightningModule):
    def __init__(self, num_classes: int):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, num_classes)
        )

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        logits = self.layers(batch[0] + 0.1 * torch.randn_like(batch[0]))
        self.log("val_loss", F.cross_entropy(logits, batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)
""",
    "datasets/points.py": """
import torch

from . import SplitDataset


class Points(SplitDataset):
    num_classes = 3

    def __init__(self, split: str):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.inputs = torch.randn(60, 8, generator=generator)
        self.targets = torch.randint(3, (60,), generator=generator)

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]
""",
    "callbacks/stops.py": """
import os

from pytorch_lightning import Callback


class Stops(Callback):
    def on_train_batch_end(self, trainer, *args):
        self.stop(f"step {trainer.global_step}")

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.stop(f"validation {trainer.current_epoch} {batch_idx}")

    def stop(self, place):
        at, _, number = os.environ.get("STOP_AT", "").partition(": ")
        if place == at:
            os.kill(os.getpid(), int(number))


class Plain:
    pass
""",
}
TRAIN = ["train", "with", "model_name=Shaky", "dataset_name=Points", "callback_names=EMA,Stops"]
TRAIN += ["callback_args.EMA.decay=0.9", "trainer_args.max_epochs=3", "checkpoint_every_s=0"]
TRAIN += ["dataloader_args.batch_size=6", "trainer_args.log_every_n_steps=1"]


def readme_file(project: Project, name: str) -> str:
    """The text of a file that the stamped README shows."""
    readme = (project.path / "README.md").read_text()
    found = re.search(rf"^`src/\w+/{name}`\n```python\n(.*?)^```", readme, re.M | re.S)
    return found[1]


@pytest.fixture(scope="module")
def own(stamped, copy_project):
    """Runs commands of a project that has the callback of the README: in a folder, with a stop."""
    ema = readme_file(stamped[DEFAULT], "callbacks/ema.py")
    project = copy_project(PLUG_INS | {"callbacks/ema.py": ema})

    def run(*words: str, cwd: Path, stop: str = "", check: bool = True):
        cwd.mkdir(exist_ok=True)
        return project.module(*words, cwd=cwd, STOP_AT=stop, check=check)

    return run


def outcome(folder: Path) -> dict:
    run = folder / "model_data" / "Shaky" / "1"
    content = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("last", "best")
    }
    found = {
        name: {key: part[key] for key in ("state_dict", "optimizer_states", "global_step")}
        | {"EMA": part["callbacks"]["EMA"]}
        for name, part in content.items()
    }
    metrics = read(run / "metrics.json")
    return found | {"metrics": {name: entry["values"] for name, entry in metrics.items()}}


@pytest.fixture(scope="module")
def never_stopped(own, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("never_stopped")
    own(*TRAIN, cwd=folder)
    return outcome(folder)


def test_checkpoints_have_the_average_and_the_callback_both(never_stopped):
    for name in ("last", "best"):
        pairs = never_stopped[name]["EMA"]
        assert pairs.keys() == {f"layers.{n}" for n in WEIGHTS}
        for weight, (trained, average) in pairs.items():
            assert torch.equal(never_stopped[name]["state_dict"][weight], average)
            assert not torch.equal(trained, average)


WEIGHTS = ("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias")


@pytest.mark.parametrize(
    "stops",
    [
        [f"step 7: {signal.SIGTERM:d}", f"step 24: {signal.SIGKILL:d}"],
        [f"validation 0 3: {signal.SIGTERM:d}", f"validation 2 9: {signal.SIGTERM:d}"],
    ],
)
def test_an_average_goes_on_as_if_it_had_never_been_stopped(own, tmp_path, never_stopped, stops):
    words = TRAIN
    for stop in stops:
        assert own(*words, cwd=tmp_path, stop=stop, check=False).returncode != 0
        words = ["train", "with", "resume=last"]
    own(*words, cwd=tmp_path)
    assert differences(outcome(tmp_path), never_stopped) == []


def test_a_callback_is_recorded_with_all_its_arguments(own, tmp_path):
    own(*TRAIN, "trainer_args.max_epochs=1", cwd=tmp_path)
    run = tmp_path / "model_data" / "Shaky" / "1"
    assert read(run / "config.json")["callback_args"] == {"EMA": {"decay": 0.9}}
    said = own("train", "print_config", cwd=tmp_path).stdout
    assert "callback_names" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("callback_names=EMAs", "callback_names: in callbacks/, class 'EMAs' is unknown: did you"),
        ("callback_names=Plain", "Plain in callbacks/stops.py is no callback"),
        ("callback_args.EMAs.decay=1", "'EMAs' is unknown: did you mean 'EMA'?"),
        (
            "callback_args.EMA.decays=1",
            "callback_args.EMA: 'decays' is unknown: did you mean",
        ),
        ("callback_args.EMA.decay=much", "callback_args.EMA.decay='much' does not fit: it takes"),
        ("callback_args.EMA=3", "callback_args={'EMA': 3} does not fit"),
        ("callback_names=3", "callback_names=3 does not fit"),
    ],
)
def test_a_mistake_is_refused_before_there_is_a_run(own, tmp_path, words, said):
    refused = own(*TRAIN[:4], "callback_names=EMA", words, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert said in refused.stdout
    assert len(refused.stdout.strip().splitlines()) == 1
    assert not (tmp_path / "model_data").exists()
