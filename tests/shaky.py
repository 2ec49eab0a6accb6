"""A model and a dataset that leave much to chance, and what of their run has to be the same."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers import read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Chance wherever there can be some, and every kind of logging.
SHAKY = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics import MeanMetric


class Shaky(pl.LightningModule):
    def __init__(self, num_classes: int = 3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)
        )
        self.mean = MeanMetric()

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = F.cross_entropy(self.layers(inputs), targets)
        self.log("train_loss", loss, on_epoch=True, sync_dist=True)
        self.log("train_peak", loss, on_step=False, on_epoch=True, reduce_fx="max", sync_dist=True)
        self.mean(loss)
        self.log("train_mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        logits = self.layers(inputs + 0.1 * torch.randn_like(inputs))
        self.log("val_loss", F.cross_entropy(logits, targets), sync_dist=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        plateau = {"scheduler": schedule, "monitor": "val_loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": plateau}
"""
NOISY = """
import random

import numpy as np
import torch

from . import SplitDataset


class Noisy(SplitDataset):
    num_classes = 3

    def __init__(self, split: str, size: int = 330):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.inputs = torch.randn(size, 8, generator=generator)
        self.targets = torch.randint(3, (size,), generator=generator)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        noise = torch.randn(8) + random.random() + np.random.rand()
        return self.inputs[index] + 0.1 * noise.float(), self.targets[index]
"""
PLUG_INS = {"models/shaky.py": SHAKY, "datasets/noisy.py": NOISY}
TRAIN = [
    "train",
    "with",
    "model_name=Shaky",
    "dataset_name=Noisy",
    "trainer_args.max_epochs=5",
    "trainer_args.log_every_n_steps=1",
    "dataloader_args.batch_size=6",
    "checkpoint_every_s=0.02",
]
RESUME = ["train", "with", "resume=last"]


def outcome(folder: Path, model: str = "Shaky") -> dict:
    """Everything of a run that has to be the same: weights, optimizer, RNG, metrics, curves."""
    run = folder / "model_data" / model / "1"
    last, best = (
        torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("last", "best")
    )
    metrics = read(run / "metrics.json")
    curves = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {
        "weights": last["state_dict"],
        "best": best["state_dict"],
        "optimizers": last["optimizer_states"],
        "schedules": last["lr_schedulers"],
        "resume_state": last["resume_state"],
        "steps": (last["global_step"], best["global_step"]),
        "metrics": {name: (entry["values"], entry["steps"]) for name, entry in metrics.items()},
        "curves": {
            tag: [(event.step, event.value) for event in curves.Scalars(tag)]
            for tag in curves.Tags()["scalars"]
        },
    }


def differences(one, other, place="") -> list[str]:
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{place}: {one.keys() ^ other.keys()}"]
        return [d for key in one for d in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{place}: {one} {other}"[:500]]
        pairs = enumerate(zip(one, other))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{i}]")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [f"{place}: {one} {other}"[:500]]
