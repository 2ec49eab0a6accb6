"""What is stored wins over what the hooks at the start of a training do, and these still run."""

from __future__ import annotations

import pytest
from helpers import Project, read
from shaky import PLUG_INS, RESUME, TRAIN, differences, outcome
from test_plain_attributes import STOPS

HOOKED = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics import MaxMetric, MeanMetric, MetricTracker


class Hooked(pl.LightningModule):
    def __init__(self, num_classes: int = 3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, num_classes))
        self.val_best, self.val_mean, self.train_mean = MaxMetric(), MeanMetric(), MeanMetric()
        self.tracker = MetricTracker(MeanMetric(), maximize=False)
        self.register_buffer("measured", torch.zeros(8))

    def on_fit_start(self):
        self.measured.copy_(torch.randn(8))
        self.register_buffer("made", torch.randn(8))

    def on_train_start(self):
        self.val_best.reset()
        self.val_mean.reset()
        with torch.no_grad():
            self.layers[0].bias.zero_()
        for group in self.optimizers().param_groups:
            group["lr"] = 0.02

    def on_train_epoch_start(self):
        self.train_mean.reset()
        self.train_losses = []
        self.noise = torch.randn(8)
        self.tracker.increment()
        self.log("drawn", self.noise.sum())
        if self.current_epoch:
            self.layers[2].bias.data += 0.1 * torch.rand(3)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        shift = 0.01 * (self.noise + self.measured + self.made)
        loss = F.cross_entropy(self.layers(inputs + shift), targets)
        self.train_mean.update(loss)
        self.tracker.update(loss)
        self.train_losses.append(loss.item())
        return loss

    def on_train_epoch_end(self):
        self.log("train_all", sum(self.train_losses))
        self.log("train_mean", self.train_mean.compute())
        self.log("tracked", float(self.tracker.compute_all().sum()))

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = F.cross_entropy(self.layers(inputs), targets)
        self.val_mean.update(loss)
        self.log("val_loss", loss)

    def on_validation_epoch_end(self):
        self.val_best.update(1 - self.val_mean.compute())
        self.log("val_best", self.val_best.compute())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)
"""
LACKING = """
from .hooked import Hooked


class Lacking(Hooked):
    def on_train_batch_start(self, batch, batch_idx):
        if batch_idx == 0:
            self.started = iter(range(1000))

    def training_step(self, batch, batch_idx):
        next(self.started)
        return super().training_step(batch, batch_idx)
"""
COUNTS = """
import torch
from pytorch_lightning import Callback


class Counts(Callback):
    def __init__(self):
        self.epochs, self.of_epoch = 0, None

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs += 1
        self.of_epoch = []
        with torch.no_grad():
            pl_module.layers[0].bias += 0.01 * torch.rand(1)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.of_epoch.append(batch_idx)

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("epochs", float(self.epochs))

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict):
        self.epochs = state_dict["epochs"]
"""


@pytest.fixture(scope="module")
def hooked(copy_project) -> Project:
    own = {"models/hooked.py": HOOKED, "models/lacking.py": LACKING}
    own |= {"callbacks/stops.py": STOPS, "callbacks/counts.py": COUNTS}
    return copy_project(PLUG_INS | own)


def words(model: str, *more: str) -> list[str]:
    begin = [word.replace("Shaky", model) for word in TRAIN if "every_s" not in word]
    return [*begin, "trainer_args.max_epochs=3", "callback_names=Stops,Counts", *more]


def test_what_hooks_reset_or_measure_is_put_back(hooked, forks, tmp_path):
    more = ["trainer_args.val_check_interval=0.5"]
    forks.run(hooked, *words("Hooked", *more), cwd=tmp_path / "whole")
    whole = outcome(tmp_path / "whole", "Hooked")
    for stop in ("batch 20", "batch 54", "batch 70", "validation 2", "validation 13"):
        folder = tmp_path / stop
        folder.mkdir()
        (folder / "stop").write_text(stop)
        assert forks(hooked, folder, words("Hooked", *more)) == 1
        (folder / "stop").unlink()
        printed = forks.run(hooked, *RESUME, cwd=folder)
        assert "not to the same bits" not in printed, printed
        d = differences(whole, outcome(folder, "Hooked"))
        assert not d, (stop, [x[:150] for x in d if "metrics" in x])


def test_a_longer_training_is_as_if_it_had_been_as_long_from_the_start(hooked, forks, tmp_path):
    longer = "trainer_args.max_epochs=5"
    forks.run(hooked, *words("Hooked", longer), cwd=tmp_path / "whole")
    forks.run(hooked, *words("Hooked"), cwd=tmp_path / "extended")
    forks.run(hooked, *RESUME, longer, cwd=tmp_path / "extended")
    whole, extended = (outcome(tmp_path / name, "Hooked") for name in ("whole", "extended"))
    assert differences(whole, extended) == []


def test_what_an_epoch_lacks_is_named_with_the_way_out(hooked, forks, tmp_path):
    (tmp_path / "stop").write_text("batch 70")
    assert forks(hooked, tmp_path, words("Lacking")) == 1
    (tmp_path / "stop").unlink()
    run = tmp_path / "model_data" / "Lacking" / "1"
    before = {name: read(run / name) for name in ("config.json", "info.json", "metrics.json")}
    assert forks(hooked, tmp_path, RESUME) == 1
    said = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in said
    assert "resume: Lacking has no 'started': it was made earlier in the epoch" in said
    best = run.relative_to(tmp_path) / "checkpoints" / "best.ckpt"
    assert f"resume={best}" in said.replace(f"{tmp_path}/", "")
    assert {name: read(run / name) for name in before} == before
    assert read(run / "run.json")["status"] == "INTERRUPTED"
    forks.run(hooked, "train", "with", f"resume={best}", cwd=tmp_path)
    assert read(run / "metrics.json")["epoch"]["values"] == [1, 2, 3]
