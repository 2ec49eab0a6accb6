"""README: "Move in with a project of your own", done as it says."""

from __future__ import annotations

import re

import torch
from data_modules import BLOBS
from helpers import read
from test_additions import code_blocks

# As it may lie in somebody's project, but for the import of Lightning.
YOUR_NET = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class YourNet(pl.LightningModule):
    def __init__(self, num_classes: int, activation: str = "ReLU"):
        super().__init__()
        self.save_hyperparameters()
        hidden = getattr(nn, activation)()
        self.layers = nn.Sequential(nn.LazyLinear(16), hidden, nn.Linear(16, num_classes))

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = F.cross_entropy(self.layers(inputs), targets)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("val_loss", F.cross_entropy(self.layers(inputs), targets))

    def test_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("test_accuracy", (self.layers(inputs).argmax(1) == targets).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)
"""


def test_it_is_done_as_written(copy_project, tmp_path, forks):
    project = copy_project(
        {
            "models/your_net.py": YOUR_NET,
            "datasets/your_data.py": BLOBS.replace("class Blobs", "class YourData"),
        }
    )
    text = (project.path / "README.md").read_text()
    (section,) = re.findall(r"^## Move in with.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
    assert len([line for line in prose.splitlines() if line]) <= 15
    ((name, code),), lines = code_blocks(section)
    (project.path / name).write_text(code)
    parts = {
        split: (torch.randn(30, 8), torch.arange(30) % 3) for split in ("train", "val", "test")
    }
    torch.save(parts, tmp_path / "points.pt")
    assert len(lines) == 3
    for line in lines:
        words = line.split()
        small = ["trainer_args.max_epochs=2"] if words[0] == "train" else []
        forks.run(project, *words, *small, cwd=tmp_path)
    run = tmp_path / "model_data" / "YourNet" / "1"
    assert read(run / "config.json")["dataloader_args"] == {"batch_size": 16}
    assert read(run / "info.json")["model_args"] == {"num_classes": 3, "activation": "ReLU"}
    assert list(read(run / "evaluations" / "1" / "results.json")) == ["test_accuracy"]
    assert 0 < read(run.with_name("2") / "metrics.json")["val_loss"]["values"][-1] < 3
