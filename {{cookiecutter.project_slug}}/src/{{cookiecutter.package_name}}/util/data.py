"""Loaders whose order is a function of seed, epoch and rank, and which can begin in mid-epoch."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, get_worker_info

from .experiment import UserError


class DataModule(LightningDataModule):
    """Builds the loaders after the processes have started, so that each rank knows itself.

    Args:
        train: training split.
        val: validation split.
        arguments: of the DataLoader; `shuffle` (default True) and `drop_last` are for training.
        seed: of the order, and of what is random in worker processes.
    """

    def __init__(self, train: Dataset, val: Dataset, arguments: dict, seed: int):
        super().__init__()
        self.train, self.val, self.arguments, self.seed = train, val, arguments, seed

    def train_dataloader(self) -> DataLoader:
        shuffle = self.arguments.get("shuffle") is not False
        loader = self._loader(self.train, shuffle, self.arguments.get("drop_last") or False)
        if not len(loader):
            raise UserError(
                f"dataloader_args: {len(self.train)} training examples make no batch: take a "
                "smaller batch_size, or drop_last=False"
            )
        return loader

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        if device.type == "cpu":  # where it is
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, shuffle=False, drop_last=False)

    def _loader(self, dataset: Dataset, shuffle: bool, drop_last: bool) -> DataLoader:
        asked = {key: value for key, value in self.arguments.items() if value is not None}
        for name in ("shuffle", "drop_last"):
            asked.pop(name, None)
        # Also right for one process: its order is seeded, and new in each epoch.
        order = DistributedSampler(
            dataset, self.trainer.world_size, self.trainer.global_rank, shuffle, self.seed
        )
        workers = asked.get("num_workers")
        batches = Batches(
            order, asked.pop("batch_size", 1), drop_last, self.seed if workers else None
        )
        defaults = {
            "collate_fn": dataset.collate_fn(),
            "generator": torch.Generator().manual_seed(self.seed),  # leave the global one alone
        }
        dataset = _SeededReads(dataset) if workers else dataset
        return LazyLoader(dataset, batch_sampler=batches, **(defaults | asked))


class LazyLoader(DataLoader):
    """Begins to read when the first batch is asked for: epoch and position are known by then."""

    def __iter__(self) -> Iterator:
        yield from super().__iter__()


class Batches(BatchSampler):
    """The batches of an epoch as lists of indices.

    Args:
        sampler: the order.
        batch_size: examples in a batch.
        drop_last: whether the last batch is left out if it is smaller.
        seed: puts a seed in front of each batch, for `_SeededReads`; None: does not.

    Attributes:
        start: batches of the next epoch to leave out; a training that was stopped has had them.
    """

    start = 0

    def __init__(
        self, sampler: DistributedSampler, batch_size: int, drop_last: bool, seed: int | None
    ):
        super().__init__(sampler, batch_size, drop_last)
        self.seed = seed

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        for number, indices in itertools.islice(enumerate(super().__iter__()), start, None):
            if self.seed is None:
                yield indices
            else:
                place = f"{self.seed} {self.sampler.epoch} {self.sampler.rank} {number}"
                yield [random.Random(place).getrandbits(64), *indices]


class _SeededReads(Dataset):
    """Reads a data set in worker processes, each batch with chance of its own.

    What a worker draws at random would otherwise depend on all it has read before, which nobody
    can restore; like this it is a function of seed, epoch, rank and batch.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, seed_and_indices: list[int]):
        seed, *indices = seed_and_indices
        if get_worker_info():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(indices)
        return [self.dataset[i] for i in indices]
