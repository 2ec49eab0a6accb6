"""Batches whose order is a function of seed, epoch and rank, and which can begin in mid-epoch."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ..errors import UserError


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

    Args:
        dataset: any with `__getitem__` or `__getitems__`.
        batches: that this process reads.
        collate_fn: as torch's DataLoader has it.
        arguments: others of torch's DataLoader.

    Attributes:
        waited: seconds that the training has waited for its batches.
    """

    waited = 0.0

    def __init__(
        self,
        dataset: Any,
        batches: Batches,
        collate_fn: Callable[[Any], Any] | None = None,
        **arguments: Any,
    ):
        whole = batches.batch_size is None
        defaults: dict[str, Any] = {
            "collate_fn": _OnlyItem(collate_fn) if whole else collate_fn,
            "generator": torch.Generator().manual_seed(batches.seed),  # not the global one
        }
        if arguments.get("num_workers"):
            defaults |= _fork()
        super().__init__(dataset, batch_sampler=batches, **(defaults | arguments))
        self.batches = batches
        # What torch has not been told, since `batches` sees to it; it refuses to set it later.
        vars(self)["batch_size"] = batches.batch_size
        self._reads: Dataset[Any] | None = None
        if self.num_workers or whole:
            batches.seeded = bool(self.num_workers)
            self._reads = _Reads(dataset, whole, batches.seeded)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names a class of its own
        requested, batches, end = time.perf_counter(), self._begin(), object()
        while (batch := self._next(batches, end)) is not end:
            self.waited += time.perf_counter() - requested
            yield batch
            requested = time.perf_counter()

    def read(self, indices: list[int]) -> Any:
        """A batch of `batches`, read in this process, as torch's `_MapDatasetFetcher.fetch`."""
        source: Any = self._reads or self.dataset
        at_once = hasattr(source, "__getitems__")
        return self.collate_fn(
            source.__getitems__(indices) if at_once else [source[i] for i in indices]
        )

    def _begin(self) -> Iterator[Any]:
        """torch's iterator, which reads through `_reads`; `dataset` stays what it is."""
        if self._reads is None:
            return super().__iter__()
        dataset, vars(self)["dataset"] = self.dataset, self._reads
        try:
            return super().__iter__()
        finally:
            vars(self)["dataset"] = dataset

    def _next(self, batches: Iterator[Any], end: object) -> Any:
        try:
            return next(batches, end)
        except _RefusedInWorker as error:  # whose text has a traceback in front
            raise UserError(str(error).rpartition(f"{_RefusedInWorker.__name__}: ")[2]) from None


class Batches(Sampler[list[int]]):
    """The batches of one process in an epoch, as lists of indices.

    Together the processes have each example once an epoch, in as many batches each, and a batch of
    all of them is that of one process whose batches are as many times larger. Only examples at the
    end of an epoch that are fewer than the processes join the batch before theirs.

    Args:
        size: examples of the data set.
        batch_size: examples in a batch of one process; None: each item is a batch.
        shuffle: whether each epoch has an order of its own; else it is that of the data set.
        drop_last: whether the last batch is left out if it is smaller.
        seed: of the order.
        rank: number of this process.
        world_size: number of processes.
        weights: of the examples `(N,)`: an epoch draws as many, in proportion to these, with
            replacement; None: each once.

    Attributes:
        start: batches of the next epoch to leave out; the run that is resumed has had them.
        seeded: whether a seed stands in front of each batch, for `_Reads`.
    """

    start = 0
    epoch = 0
    seeded = False

    def __init__(
        self,
        size: int,
        batch_size: int | None,
        shuffle: bool,
        drop_last: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        weights: torch.Tensor | None = None,
    ):
        self.size, self.shuffle, self.drop_last, self.seed = size, shuffle, drop_last, seed
        self.batch_size, self.weights = batch_size, weights
        self.rank, self.world_size = rank, world_size
        self.step = (batch_size or 1) * world_size  # examples of all processes
        self.sampler = self  # `_set_sampler_epoch` of lightning_fabric 2.6.6 looks for it here

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.step)
        return full + (rest >= self.world_size and not self.drop_last)

    def examples(self, number: int) -> int:
        """How many examples a batch has; 1 where the sampler draws whole batches."""
        return len(range(self.size)[self._places(number)]) if self.batch_size else 1

    def _places(self, number: int) -> slice:
        stop = (number + 1) * self.step
        if number + 1 == len(self) and not self.drop_last:
            stop = self.size
        return slice(number * self.step + self.rank, stop, self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        order = self._order() if self.shuffle else None
        for number in range(start, len(self)):
            mine = self._places(number)
            indices = list(range(self.size)[mine]) if order is None else order[mine].tolist()
            if self.seeded:
                place = f"{self.seed} {self.epoch} {self.rank} {number}"
                indices.insert(0, random.Random(place).getrandbits(64))
            yield indices

    def _order(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        if self.weights is not None:  # torch.multinomial takes 2**24 examples at most
            ends = self.weights.double().cumsum(0)
            draws = torch.rand(self.size, generator=generator, dtype=torch.float64) * ends[-1]
            return torch.searchsorted(ends, draws, right=True).clamp_(max=self.size - 1)
        # Half the memory of int64, which counts where the examples are billions.
        small = torch.int32 if self.size < 2**31 else torch.int64
        return torch.randperm(self.size, generator=generator, dtype=small)


class _OnlyItem:
    """A collate function where each item of the data set is a batch."""

    def __init__(self, collate_fn: Callable[[Any], Any] | None):
        self.collate_fn = collate_fn

    def __call__(self, items: list[Any]) -> Any:
        (item,) = items
        return self.collate_fn(item) if self.collate_fn else item


class _Reads(Dataset[Any]):
    """Reads a data set in worker processes, each batch with a random seed of its own.

    What a worker draws at random would otherwise depend on all that it has read before, which
    cannot be restored; it is a function of seed, epoch, rank and batch instead.

    Args:
        dataset: that is read.
        whole: whether each of its items is a batch.
        seeded: whether a seed stands in front of the indices.
    """

    def __init__(self, dataset: Any, whole: bool, seeded: bool):
        self.dataset, self.whole, self.seeded = dataset, whole, seeded

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: list[int]) -> Any:
        seed, *indices = indices if self.seeded else [0, *indices]
        if get_worker_info():
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
        try:
            if hasattr(self.dataset, "__getitems__") and not self.whole:
                return self.dataset.__getitems__(indices)
            return [self.dataset[i] for i in indices]
        except UserError as error:
            raise _RefusedInWorker(str(error)) from None


class _RefusedInWorker(Exception):  # noqa: N818 (a UserError that pickle finds by its name)
    pass
