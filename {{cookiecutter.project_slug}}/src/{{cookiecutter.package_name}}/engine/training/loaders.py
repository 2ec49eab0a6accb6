"""Loaders whose order is a function of seed, epoch and rank, and which can begin in mid-epoch."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ..contracts import SplitDataset
from ..errors import UserError


class DataModule(LightningDataModule):
    """Builds the loaders after the processes have started, so that each rank knows itself.

    Args:
        train: training split.
        val: validation split.
        arguments: of the DataLoader; `shuffle` (default True) and `drop_last` are for training.
        seed: of the order, and of what is random in worker processes.
    """

    def __init__(
        self, train: SplitDataset, val: SplitDataset, arguments: dict[str, Any], seed: int
    ):
        super().__init__()
        self.train, self.val, self.arguments, self.seed = train, val, arguments, seed

    def train_dataloader(self) -> LazyLoader:
        """The loader of the training split.

        Raises:
            UserError: the split is smaller than a batch.
        """
        shuffle = self.arguments.get("shuffle") is not False
        loader = self._loader(self.train, shuffle, self.arguments.get("drop_last") or False)
        if not len(loader):
            raise UserError(
                f"dataloader_args: {len(self.train)} training examples make no batch"
                f"{self._for_each()}: take a smaller batch_size, or drop_last=False"
            )
        return loader

    def val_dataloader(self) -> LazyLoader:
        """The loader of the validation split.

        Raises:
            UserError: there are fewer examples than processes.
        """
        loader = self._loader(self.val, shuffle=False, drop_last=False)
        if len(self.val) and not len(loader):
            raise UserError(
                f"trainer_args: {len(self.val)} validation examples make no batch"
                f"{self._for_each()}: take fewer devices"
            )
        return loader

    def _for_each(self) -> str:
        trainer: Any = self.trainer  # set by Lightning before it asks for a loader
        processes = trainer.world_size
        return f" for each of {processes} processes" if processes > 1 else ""

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        if device.type == "cpu":  # there already; Lightning would look for tensors in each batch
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _loader(self, dataset: SplitDataset, shuffle: bool, drop_last: bool) -> LazyLoader:
        requested = {key: value for key, value in self.arguments.items() if value is not None}
        for name in ("shuffle", "drop_last"):
            requested.pop(name, None)
        trainer: Any = self.trainer
        batches = Batches(
            len(dataset),
            requested.pop("batch_size", 1),
            shuffle,
            drop_last,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
        )
        defaults: dict[str, Any] = {
            "collate_fn": dataset.collate_fn,
            "generator": torch.Generator().manual_seed(self.seed),  # not the global one
            # From pinned memory Lightning copies to the GPU while that computes (`non_blocking`).
            "pin_memory": trainer.strategy.root_device.type == "cuda",
        }
        source: Dataset[Any] = dataset
        if requested.get("num_workers"):
            source, batches.seeded = _SeededReads(dataset), True
            defaults |= _fork()
        return LazyLoader(source, batch_sampler=batches, **(defaults | requested))


def _fork() -> dict[str, str]:
    """The DataLoader's start method of worker processes, where a fork does no harm.

    Python 3.14 has changed Linux's from fork to forkserver: each worker would import torch anew,
    for each loader and epoch (in a run of one epoch 97 % of the time was waiting for it). CUDA
    does not survive a fork, and macOS and Windows cannot or should not fork.
    """
    has_cuda = torch.cuda.is_initialized()
    if sys.platform != "linux" or has_cuda:
        return {}
    return {"multiprocessing_context": "fork"}


class LazyLoader(DataLoader[Any]):
    """Begins to read when the first batch is requested, by when epoch and position are known.

    `_FitLoop.setup_data` (Lightning 2.6.6) makes an iterator before the epoch is set, and torch's
    begins to read at once where there are worker processes.

    Attributes:
        waited: seconds that the training has waited for its batches.
    """

    waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names a class of its own
        requested, batches = time.perf_counter(), super().__iter__()
        while (batch := self._next(batches)) is not None:
            self.waited += time.perf_counter() - requested
            yield batch
            requested = time.perf_counter()

    def _next(self, batches: Iterator[Any]) -> Any:
        try:
            return next(batches, None)
        except _RefusedInWorker as error:  # whose text has a traceback in front
            raise UserError(str(error).rpartition(f"{_RefusedInWorker.__name__}: ")[2]) from None


class Batches(Sampler[list[int]]):
    """The batches of one process in an epoch, as lists of indices.

    Together the processes have each example once an epoch, in as many batches each, and a batch of
    all of them is that of one process whose batches are as many times larger. Only examples at the
    end of an epoch that are fewer than the processes join the batch before theirs.

    Args:
        size: examples of the data set.
        batch_size: examples in a batch of one process.
        shuffle: whether each epoch has an order of its own; else it is that of the data set.
        drop_last: whether the last batch is left out if it is smaller.
        seed: of the order.
        rank: number of this process.
        world_size: number of processes.

    Attributes:
        start: batches of the next epoch to leave out; the run that is resumed has had them.
        seeded: whether a seed stands in front of each batch, for `_SeededReads`.
    """

    start = 0
    epoch = 0
    seeded = False

    def __init__(
        self,
        size: int,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.size, self.shuffle, self.drop_last, self.seed = size, shuffle, drop_last, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.sampler = self  # `_set_sampler_epoch` of lightning_fabric 2.6.6 looks for it here

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size * self.world_size)
        return full + (rest >= self.world_size and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        order, step = None, self.batch_size * self.world_size
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            # Half the memory of int64, which counts where the examples are billions.
            small = torch.int32 if self.size < 2**31 else torch.int64
            order = torch.randperm(self.size, generator=generator, dtype=small)
        for number in range(start, len(self)):
            stop = (number + 1) * step
            if number + 1 == len(self) and not self.drop_last:
                stop = self.size
            mine = slice(number * step + self.rank, stop, self.world_size)
            indices = list(range(self.size)[mine]) if order is None else order[mine].tolist()
            if self.seeded:
                place = f"{self.seed} {self.epoch} {self.rank} {number}"
                indices.insert(0, random.Random(place).getrandbits(64))
            yield indices


class _SeededReads(Dataset[Any]):
    """Reads a data set in worker processes, each batch with a random seed of its own.

    What a worker draws at random would otherwise depend on all that it has read before, which
    cannot be restored; it is a function of seed, epoch, rank and batch instead.
    """

    def __init__(self, dataset: SplitDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, seed_and_indices: list[int]) -> Any:
        seed, *indices = seed_and_indices
        if get_worker_info():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
        try:
            if hasattr(self.dataset, "__getitems__"):
                return self.dataset.__getitems__(indices)
            return [self.dataset[i] for i in indices]
        except UserError as error:
            raise _RefusedInWorker(str(error)) from None


class _RefusedInWorker(Exception):  # noqa: N818 (a UserError that pickle finds by its name)
    pass
