"""A LightningDataModule as a dataset plug-in: the one place that knows how it differs from splits.

Its constructor's arguments are `dataset_args` and `dataloader_args` together. Training gets the
data module itself, with loaders that resume (training/own_loaders.py); evaluators, the model's
arguments and the record get a `DataModuleSplit`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from ..contracts import OwnBatches, SplitDataset, describe, files_of, is_defined_by_user
from ..errors import UserError, refusals
from ..processes import launched, rank

LOADERS = {"train": "train_dataloader", "val": "val_dataloader", "test": "test_dataloader"}
STAGES = {"train": "fit", "val": "fit", "test": "test"}


def split_data_module(
    cls: type[LightningDataModule], values: dict[str, Any], splits: Iterable[str], seed: int
) -> list[SplitDataset]:
    """Makes a data module, prepares it and sets it up; returns it as splits.

    Args:
        cls: of the user's.
        values: all arguments of its constructor.
        splits: "train", "val" or "test".
        seed: of what it draws at random while it is made and set up: the same rows are in the same
            split when the run is resumed or evaluated.

    Raises:
        UserError: it refuses an argument.
    """
    with refusals(f"dataset_args: {cls.__name__}"), seeded(seed):
        module = cls(**values)
    done: set[str] = set()
    hooks: Any = module  # Lightning calls them again, when their work is done
    hooks.prepare_data = partial(_prepare, module, seed, done)
    hooks.setup = partial(_setup, module, seed, done)
    started = launched()
    if started.get("devices", 1) * started.get("num_nodes", 1) == 1:
        # Under torchrun and SLURM all processes run by now, and only Lightning makes them wait for
        # `prepare_data`. What the model needs has to be known before `setup` there.
        with refusals(f"dataset_args: {cls.__name__}"):
            if rank() == 0:
                module.prepare_data()
            for stage in dict.fromkeys(STAGES[split] for split in splits):
                module.setup(stage)
    named = type(cls.__name__, (DataModuleSplit,), {})  # for whoever says what data it has
    return [named(module, split, seed) for split in splits]


def refuse_without_loader(cls: type, split: str, also: str = "") -> None:
    """Refuses a data module that has no loader for a split.

    Args:
        cls: of the user's.
        split: "train", "val" or "test".
        also: what to do besides writing one.

    Raises:
        UserError: names the method that is missing.
    """
    if not is_defined_by_user(LOADERS[split], cls):
        raise UserError(
            f"dataset_name: {cls.__name__} has no {LOADERS[split]}, which is its {split} split: "
            f"write one{also}"
        )


def _prepare(module: LightningDataModule, seed: int, done: set[str]) -> None:
    if "prepare_data" not in done:
        with seeded(seed):
            type(module).prepare_data(module)
        done.add("prepare_data")


def _setup(module: LightningDataModule, seed: int, done: set[str], stage: str) -> None:
    if stage not in done:
        with seeded(seed):
            type(module).setup(module, stage)
        done.add(stage)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators, but for CUDA's, and puts back their states afterwards."""
    with isolate_rng(include_cuda=False):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield


class DataModuleSplit(SplitDataset, OwnBatches):
    """One split of a data module, whose attributes it has; the test split has examples as well.

    Args:
        data_module: prepared and set up.
        split: "train", "val" or "test".
        seed: of what its loader draws at random.
    """

    def __init__(self, data_module: LightningDataModule, split: str, seed: int):
        self.data_module, self.split, self.seed = data_module, split, seed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "data_module":  # before `__init__`, as pickle asks
            raise AttributeError(name)
        return getattr(self.data_module, name)

    def files(self) -> list[Path]:
        return files_of(self.data_module)

    def describe(self) -> dict[str, Any]:
        if hasattr(self.data_module, "describe"):
            return describe(self.data_module)
        if self.split == "test":
            with contextlib.suppress(UserError):  # a stream, or several loaders
                return {"examples": len(self)}
        return {"kind": "LightningDataModule"}

    def __len__(self) -> int:
        if self._order is None:
            raise self._unknown("no length")
        return sum(map(len, self._order))

    def __getitem__(self, index: int) -> Any:
        """The example at a place in the order of the batches."""
        if self._order is None or self.loader.batch_size is None:
            raise self._unknown("no examples that can be read one by one")
        return self.loader.dataset[self._places[index]]

    def batches(self) -> Iterable[Any]:
        """The batches of its loader, in an order that is the same each time."""
        loader: DataLoader[Any] = self.loader
        if self._order is None:
            return loader
        sampling: dict[str, Any] = {"batch_sampler": self._order}
        if loader.batch_sampler is None:
            sampling = {"batch_size": None, "sampler": self._places}
        return DataLoader(
            loader.dataset,
            **sampling,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )

    @cached_property
    def loader(self) -> Any:
        """The loader of the split.

        Raises:
            UserError: it has several, which only the model's own steps can tell apart.
        """
        with seeded(self.seed):
            loader = getattr(self.data_module, LOADERS[self.split])()
        if isinstance(loader, (list, tuple)) and len(loader) == 1:
            return loader[0]
        if isinstance(loader, (list, tuple, dict)):
            raise UserError(
                f"evaluator_name: {type(self).__name__} has {len(loader)} {self.split} loaders, "
                "and this evaluator takes one; TestStep takes all of them"
            )
        return loader

    @cached_property
    def _order(self) -> list[list[int]] | None:
        """The examples of each batch; None where no sampler tells them.

        Drawn once. Shuffling is left out: the examples of two evaluations can be compared.
        """
        loader = self.loader
        ours = isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__
        if not ours or isinstance(loader.dataset, IterableDataset):
            return None
        sampler = loader.sampler
        if isinstance(sampler, RandomSampler) and not sampler.replacement:
            sampler = range(len(loader.dataset))
        with seeded(self.seed):
            if loader.batch_size is None and loader.batch_sampler is not None:
                return [list(batch) for batch in loader.batch_sampler]
            places = list(sampler)
        size = loader.batch_size or 1
        batches = [places[i : i + size] for i in range(0, len(places), size)]
        return batches[:-1] if loader.drop_last and len(batches[-1]) < size else batches

    @cached_property
    def _places(self) -> list[int]:
        return [place for batch in self._order or () for place in batch]

    def _unknown(self, what: str) -> UserError:
        return UserError(
            f"dataset_name: the {self.split} loader of {type(self).__name__} has {what}; "
            "evaluator_name=TestStep needs none"
        )
