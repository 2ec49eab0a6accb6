"""What a model keeps outside its `state_dict` is stored, and put back to the same bits."""

from __future__ import annotations

import pytest
from helpers import Project
from shaky import NOISY, RESUME, TRAIN, differences, outcome

KEEPER = """
import enum
from collections import defaultdict, deque

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class Phase(enum.Enum):
    WARM_UP = 1
    MAIN = 2


class Meter:
    def __init__(self):
        self.total, self.count = 0.0, 0


class Keeper(pl.LightningModule):
    def __init__(self, num_classes: int = 3, rate: float = 0.1, dropout: float = 0.4):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.inputs, self.dropout = nn.Linear(8, 16), nn.Dropout(dropout)
        self.outputs = nn.Linear(16, num_classes)
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.hidden, self.rate, self.steps, self.phase = None, rate, 0, Phase.WARM_UP
        self.losses, self.recent, self.counts = [], deque(maxlen=3), defaultdict(int)
        self.nested = {"deep": [(1, torch.zeros(2))], 3: "three"}
        self.meter, self.lowest = Meter(), np.float64(9)
        self.numpy_rng, self.generator = np.random.default_rng(3), torch.Generator()
        self.unseen = [nn.Linear(16, 16)]
        self.table = torch.arange(600_000.0)
        self.in_validation = []

    def forward(self, inputs):
        features = self.inputs(inputs)
        if self.hidden is not None:
            features = features + 0.1 * self.hidden
        return self.outputs(self.dropout(self.unseen[0](features)))

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        noise = self.numpy_rng.normal() + torch.rand(1, generator=self.generator)
        logits = self(inputs + 0.01 * noise.float())
        self.hidden = self.inputs(inputs).mean(0, keepdim=True).detach()
        loss = F.cross_entropy(logits, targets)
        self.manual_backward(loss)
        self.note(loss.detach(), targets)
        if self.steps % 4 == 0:
            optimizer = self.optimizers()
            optimizer.param_groups[0]["lr"] = self.rate
            optimizer.step()
            optimizer.zero_grad()
            self.rate, self.dropout.p = 0.99 * self.rate, 0.99 * self.dropout.p
            self.hparams.dropout = self.dropout.p
        return loss

    def note(self, loss, targets):
        self.steps += 1
        self.cache += loss
        self.losses.append(loss.item())
        self.recent.append(loss)
        self.counts[int(targets[0])] += 1
        self.nested["deep"][0] = (self.steps, self.cache.clone())
        self.meter.total, self.meter.count = self.meter.total + float(loss), self.steps
        with torch.no_grad():
            self.unseen[0].weight.lerp_(self.outputs.weight.T @ self.outputs.weight, 0.01)
        if self.steps == 30:
            self.phase = Phase.MAIN
            self.inputs.bias.requires_grad_(False)
            self.dropout.eval()

    def on_train_epoch_end(self):
        self.log("recent", torch.stack(list(self.recent)).mean())
        self.log("meter", self.meter.total / self.meter.count)
        self.log("phase", float(self.phase.value))
        self.log("counts", float(self.counts[0] - self.counts[1]))
        self.log("kept", float(sum(self.losses) + sum(map(abs, self.cache.tolist()))))

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.in_validation.append(F.cross_entropy(self(inputs), targets))
        self.log("val_loss", self.in_validation[-1])

    def on_validation_epoch_end(self):
        self.log("of_all", torch.stack(self.in_validation).sum())
        self.lowest = np.float64(min(self.lowest, self.in_validation[-1].item()))
        self.log("lowest", float(self.lowest))
        self.in_validation.clear()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate, momentum=0.9)
"""


OPAQUE = """
from .keeper import Keeper, Meter


class Opaque(Keeper):
    def on_train_start(self):
        self.source = iter([1, 2])
        self.made = None

    def on_train_batch_end(self, *_):
        self.made = Meter()
"""
STOPS = """
import os
import signal
from pathlib import Path

from pytorch_lightning import Callback


class Stops(Callback):
    def at(self, place, number):
        if Path("stop").exists() and Path("stop").read_text() == f"{place} {number}":
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.at("batch", trainer.fit_loop.total_batch_idx)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.at("validation", 10 * trainer.current_epoch + batch_idx)
"""


@pytest.fixture(scope="module")
def keeper(copy_project) -> Project:
    plug_ins = {"models/keeper.py": KEEPER, "models/opaque.py": OPAQUE}
    return copy_project(plug_ins | {"datasets/noisy.py": NOISY, "callbacks/stops.py": STOPS})


def test_attributes_of_all_kinds_are_those_of_a_training_that_was_never_stopped(
    keeper, forks, tmp_path
):
    """Stopped between batches, with accumulated gradients, and within validations."""
    words = [word.replace("Shaky", "Keeper") for word in TRAIN if "every_s" not in word]
    words += ["trainer_args.val_check_interval=0.5", "callback_names=Stops"]
    words += ["trainer_args.num_sanity_val_steps=0", "trainer_args.max_epochs=3"]
    forks.run(keeper, *words, cwd=tmp_path / "whole")
    whole = outcome(tmp_path / "whole", "Keeper")
    kept = {name for _, _, name, _ in whole["resume_state"]["ranks"][0]["outside"]["values"]}
    assert kept >= {"hidden", "rate", "cache", "nested", "training", "unseen", "phase", "p"}
    assert not kept & {"table", "weight", "in_features"}  # which have not changed
    for stop in ("batch 20", "batch 45", "batch 90", "validation 2", "validation 13"):
        folder = tmp_path / stop
        folder.mkdir()
        (folder / "stop").write_text(stop)
        assert forks(keeper, folder, words) == 1
        (folder / "stop").unlink()
        printed = forks.run(keeper, *RESUME, cwd=folder)
        assert "not to the same bits" not in printed
        assert differences(whole, outcome(folder, "Keeper")) == [], stop


def test_what_cannot_be_put_back_is_said(keeper, forks, tmp_path):
    """The position of an iterator; an object that is not there to take its state."""
    words = ["model_name=Opaque", "dataset_name=Noisy", "trainer_args.max_epochs=1"]
    forks.run(keeper, "train", "with", *words, cwd=tmp_path)
    words = ["resume=last", "trainer_args.max_epochs=2"]
    printed = forks.run(keeper, "train", "with", *words, cwd=tmp_path)
    (said,) = (line for line in printed.splitlines() if "source" in line)
    assert "not to the same bits: source (a list_iterator)" in said
    assert "made (Meter)" in printed
