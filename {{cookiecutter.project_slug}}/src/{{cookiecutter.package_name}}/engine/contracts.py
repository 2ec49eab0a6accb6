"""What a dataset and an evaluator promise to the runner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pytorch_lightning import LightningModule
from torch.utils.data import DataLoader, Dataset, default_collate


def _as_it_is(batch):
    return batch


class SplitDataset(Dataset):
    """One split of a data set; the first argument of `__init__` is "train", "val" or "test".

    Validation is carved out of the official training split; the official test split is for
    `evaluate` alone. Attributes of the name of a model's argument (`num_classes`, `input_shape`,
    ...) reach the model without being configured. A subclass may also define
    `__getitems__(indices)`, which reads a whole batch at once, several times faster than items.
    """

    @classmethod
    def prepare(cls) -> dict:
        """Fetches or checks the data; called before the first split is made.

        A subclass takes those arguments of its `__init__` that it needs, by the same names.

        Returns:
            Arguments that are settled by now (`source="auto"` has become "full", say); they
            replace the configured ones, and are recorded.
        """
        return {}

    @abstractmethod
    def __len__(self) -> int: ...

    def collate_fn(self) -> Callable:
        """Makes a batch of what the loader has read: nothing to do after `__getitems__`."""
        return _as_it_is if hasattr(self, "__getitems__") else default_collate

    def files(self) -> list[Path]:
        """The files that this split is read from; a run keeps their hashes."""
        return []

    def describe(self) -> dict:
        """What the run's record says of the data, as plain values."""
        return {"examples": len(self)}


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
