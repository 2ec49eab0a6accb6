"""Data of ten numbers, the models that learn one weight of them, and what a run has recorded."""

from __future__ import annotations

import json
from pathlib import Path

from helpers import read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Batches of four: 4, 4 and 2 examples. Unshuffled, each value can be worked out by hand.
TEN = """
import torch

from . import SplitDataset


class Ten(SplitDataset):
    shift = {"train": 0.0, "val": 10.0, "test": 20.0}

    def __init__(self, split: str, size: int = 10):
        self.inputs = torch.arange(size, dtype=torch.float32)[:, None] + self.shift[split]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.inputs[index]
"""
HEAD = """
import pytorch_lightning as pl
import torch


class Base(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def loss(self, batch):
        inputs, targets = batch
        return ((self.weight + 1) * inputs).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


"""
WORDS = [
    "train",
    "with",
    "dataset_name=Ten",
    "dataloader_args.batch_size=4",
    "dataloader_args.shuffle=False",
    "trainer_args.log_every_n_steps=1",
    "trainer_args.max_epochs=3",
    "trainer_args.accelerator=cpu",
]


def words(model: str, *more: str) -> list[str]:
    return [*WORDS, f"model_name={model}", *more]


def plug_ins(models: str) -> dict[str, str]:
    return {"models/tiny.py": HEAD + models, "datasets/ten.py": TEN}


def recorded(run: Path) -> dict[str, tuple[list[float], list[int]]]:
    """Metric -> values and steps, of metrics.jsonl; metrics.json says the same."""
    table: dict = {}
    for text in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        for name, value in line["values"].items():
            values, steps = table.setdefault(name, ([], []))
            values.append(value)
            steps.append(line["step"])
    whole = read(run / "metrics.json")
    assert {name: (e["values"], e["steps"]) for name, e in whole.items()} == table
    return table


def result(run: Path) -> dict[str, float]:
    return read(run / "run.json")["result"]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}
