"""One evaluator a file, found by its class name: `evaluate with evaluator_name=MyReport`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pytorch_lightning import LightningModule
from torch.utils.data import DataLoader, Dataset


class Evaluator(ABC):
    """Turns a trained model and a test split into numbers, and into files if it likes.

    Attributes:
        folder: where its files go; set by the runner before `evaluate` is called.
        per_example: metric -> one number for each test example, whose mean is the metric. With
            it, `evaluate compare` can tell a difference between two models from chance.
    """

    folder: Path
    per_example: Mapping[str, Sequence[float]] = MappingProxyType({})

    @abstractmethod
    def evaluate(self, model: LightningModule, dataset: Dataset) -> dict[str, float]:
        """Measures `model`, which is in eval mode, in inference mode and on its device."""

    def batches(self, model: LightningModule, dataset: Dataset, batch_size: int) -> Iterator:
        """The split's batches in order, on the model's device."""
        for batch in DataLoader(dataset, batch_size, collate_fn=dataset.collate_fn()):
            yield model.transfer_batch_to_device(batch, model.device, 0)
