"""Data modules as Lightning's users write them, and a model that trains on each."""

from __future__ import annotations

# Splits drawn from the global generator, `num_classes` known after `setup` only, loaders of torch.
BLOBS = """
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset, random_split


class Blobs(pl.LightningDataModule):
    def __init__(self, data_dir: str = "blobs", batch_size: int = 6, num_workers: int = 0):
        super().__init__()
        self.save_hyperparameters()
        self.path = Path(data_dir, "blobs.pt")

    def prepare_data(self):
        self.path.parent.mkdir(exist_ok=True)
        with open(self.path.with_name("prepared.txt"), "a") as file:
            file.write("once\\n")
        generator = torch.Generator().manual_seed(0)
        targets = torch.arange(140) % 3
        inputs = torch.randn(140, 8, generator=generator) + 2.0 * targets[:, None]
        torch.save((inputs, targets, torch.arange(140)), self.path)

    def setup(self, stage):
        inputs, targets, names = torch.load(self.path)
        self.num_classes = int(targets.max()) + 1
        self.names = names
        whole = TensorDataset(inputs, targets)
        self.train, self.val, self.test = random_split(whole, [94, 20, 26])
        self.stages = [*getattr(self, "stages", []), stage]
        assert len(self.stages) == len(set(self.stages)), "set up twice"

    def files(self):
        return [self.path]

    def _loader(self, dataset, shuffle=False):
        workers = self.hparams.num_workers
        return DataLoader(dataset, self.hparams.batch_size, shuffle=shuffle, num_workers=workers)

    def train_dataloader(self):
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self):
        return self._loader(self.val)

    def test_dataloader(self):
        return self._loader(self.test)
"""
# Each changes one habit of it.
OTHERS = """
import torch
from torch.utils.data import (
    DataLoader, DistributedSampler, IterableDataset, Sampler, SubsetRandomSampler, TensorDataset
)

from .blobs import Blobs


class Several(Blobs):
    def train_dataloader(self):
        return {"many": self._loader(self.train, shuffle=True), "few": self._loader(self.val, True)}

    def val_dataloader(self):
        return [self._loader(self.val), self._loader(self.train)]

    def test_dataloader(self):
        return [self._loader(self.test), self._loader(self.val)]


class OwnSampler(Blobs):
    def train_dataloader(self):
        return DataLoader(self.train, 6, sampler=SubsetRandomSampler(range(60)))


class Distributed(Blobs):
    def train_dataloader(self):
        sampler = DistributedSampler(self.train, num_replicas=1, rank=0, shuffle=True)
        return DataLoader(self.train, 6, sampler=sampler)


class Pieces(IterableDataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return (self.dataset[i] for i in range(len(self.dataset)))


class Stream(Blobs):
    def train_dataloader(self):
        return DataLoader(Pieces(self.train), 6)

    def test_dataloader(self):
        return DataLoader(Pieces(self.test), 6)


class Shuffled(Blobs):
    def test_dataloader(self):
        return DataLoader(self.test, 6, shuffle=True)


class WholeBatches(Blobs):
    def train_dataloader(self):
        inputs, targets = map(torch.stack, zip(*[(x, torch.tensor(y)) for x, y in self.train]))
        whole = TensorDataset(inputs[:90].view(15, 6, 8), targets[:90].view(15, 6))
        return DataLoader(whole, batch_size=None, shuffle=True)


class NoTest(Blobs):
    test_dataloader = __import__("pytorch_lightning").LightningDataModule.test_dataloader


class NoVal(Blobs):
    val_dataloader = __import__("pytorch_lightning").LightningDataModule.val_dataloader


class NoTrain(__import__("pytorch_lightning").LightningDataModule):
    pass
"""
MODEL = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn


class Linear(pl.LightningModule):
    def __init__(self, num_classes: int, learning_rate: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, num_classes))

    def forward(self, inputs):
        return self.layers(inputs)

    def training_step(self, batch, batch_idx):
        if isinstance(batch, dict):
            return sum(self.training_step(part, batch_idx) for part in batch.values() if part)
        inputs, targets = batch
        return F.cross_entropy(self(inputs), targets)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        inputs, targets = batch
        loss = F.cross_entropy(self(inputs), targets)
        self.log(["val_loss", "val_other"][dataloader_idx], loss, add_dataloader_idx=False)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        inputs, targets = batch
        hits = (self(inputs).argmax(1) == targets).float().mean()
        self.log(f"test_accuracy_{dataloader_idx}", hits, add_dataloader_idx=False)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
"""
PLUG_INS = {
    "datasets/blobs.py": BLOBS,
    "datasets/others.py": OTHERS,
    "models/linear.py": MODEL,
}
# Stops the training in front of the step that a file names; a resumed run has no such file.
PLUG_INS["callbacks/stop_at.py"] = """
import os
import signal
from pathlib import Path

from pytorch_lightning import Callback


class StopAt(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        stop = Path("stop")
        if stop.exists() and trainer.global_step >= int(stop.read_text()):
            stop.unlink()
            os.kill(os.getpid(), signal.SIGTERM)
"""
