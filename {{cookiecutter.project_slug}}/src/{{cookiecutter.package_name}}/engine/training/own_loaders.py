"""Any loaders of a training: those of a user's LightningDataModule, made to resume; what is said
of those that cannot.

Where a loader shuffles by torch's own samplers, one of ours takes its place: the same examples in
batches of the same size, in an order that is a function of seed, epoch and rank. Any other stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from ..contracts import SplitDataset, is_defined_by_user
from ..processes import say
from ..runs.data_module import LOADERS, DataModuleSplit, seeded
from .batches import Batches, LazyLoader
from .lightning_internals import weigh_batch
from .loaders import DataModule

HANDED_ON = (  # arguments of a DataLoader that keep their values
    "num_workers",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "prefetch_factor",
    "persistent_workers",
    "in_order",
)


def training_data(
    train: SplitDataset, val: SplitDataset, arguments: dict[str, Any], seed: int
) -> LightningDataModule:
    """What `Trainer.fit` gets: our loaders of two splits, or the user's data module with its own.

    Args:
        train: training split.
        val: validation split.
        arguments: `dataloader_args`; a data module has had them.
        seed: of the order.
    """
    if not isinstance(train, DataModuleSplit):
        return DataModule(train, val, arguments, seed)
    module = train.data_module
    for name in LOADERS.values():
        if is_defined_by_user(name, type(module)):
            setattr(module, name, partial(_resumable, module, name, seed))
    return module


def _resumable(module: LightningDataModule, name: str, seed: int) -> Any:
    """The loaders of a data module's method, in whatever lists and dicts they are."""
    with seeded(seed):
        loaders = getattr(type(module), name)(module)
    trainer: Any = module.trainer
    return _each(loaders, trainer, seed, for_training=name == LOADERS["train"])


def _each(loaders: Any, trainer: Any, seed: int, for_training: bool) -> Any:
    if isinstance(loaders, CombinedLoader):
        flat = [_each(one, trainer, seed, for_training) for one in loaders.flattened]
        loaders.flattened = flat
        return loaders
    if isinstance(loaders, dict):
        return {k: _each(one, trainer, seed, for_training) for k, one in loaders.items()}
    if isinstance(loaders, (list, tuple)):
        return [_each(one, trainer, seed, for_training) for one in loaders]
    shuffle = _shuffles(loaders)
    if shuffle is None:
        return loaders
    if for_training and trainer.overfit_batches:
        shuffle = False
    batches = Batches(
        len(loaders.dataset),
        loaders.batch_size,
        shuffle,
        loaders.drop_last,
        seed,
        trainer.global_rank,
        trainer.world_size,
    )
    arguments = {name: getattr(loaders, name) for name in HANDED_ON if hasattr(loaders, name)}
    if loaders.multiprocessing_context is not None:
        arguments["multiprocessing_context"] = loaders.multiprocessing_context
    return LazyLoader(loaders.dataset, batches, loaders.collate_fn, **arguments)


def _shuffles(loader: Any) -> bool | None:
    """Whether a loader shuffles; None: it has an order that is not torch's to say."""
    if not isinstance(loader, DataLoader) or type(loader).__iter__ is not DataLoader.__iter__:
        return None
    sampler, batch_sampler = loader.sampler, loader.batch_sampler
    if isinstance(loader.dataset, IterableDataset):
        return None
    if batch_sampler is not None and (
        type(batch_sampler) is not BatchSampler or loader.batch_size is None
    ):
        return None
    if type(sampler) is SequentialSampler:
        return False
    if type(sampler) is RandomSampler:
        whole = not sampler.replacement and sampler.num_samples == len(loader.dataset)  # type: ignore[arg-type]
        return True if whole else None
    return sampler.shuffle if type(sampler) is DistributedSampler else None


def flat(loaders: Any) -> Iterator[Any]:
    """Each loader of `Trainer.train_dataloader` or `val_dataloaders`, by itself."""
    if isinstance(loaders, CombinedLoader):
        loaders = loaders.flattened
    if isinstance(loaders, dict):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        for one in loaders:
            yield from flat(one)
    elif loaders is not None:
        yield loaders


def begin_behind(trainer: Trainer, batches: int) -> None:
    """Lets the next epoch of training begin behind so many batches, where its loaders can."""
    for loader in flat(trainer.train_dataloader):
        if isinstance(loader, LazyLoader):
            # Of several loaders, Lightning begins the shorter ones again ("max_size_cycle").
            loader.batches.start = batches % max(len(loader), 1)


def orders_unknown(trainer: Trainer) -> list[str]:
    """The loaders of a training whose order cannot be restored, for whoever resumes it."""
    found = {"training": trainer.train_dataloader, "validation": trainer.val_dataloaders}
    return [
        f"the {split} loader draws its examples in an order of its own ({_named(loader)})"
        for split, loaders in found.items()
        for loader in flat(loaders)
        if not isinstance(loader, LazyLoader)
    ]


def _named(loader: Any) -> str:
    if isinstance(loader, (list, tuple, dict)):
        return f"{len(loader)} loaders together"
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, IterableDataset):
        return f"{type(dataset).__name__}, an IterableDataset"
    if isinstance(loader, LazyLoader):
        return "batch_size=None"
    for sampler in (getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None)):
        if sampler is not None and type(sampler) is not BatchSampler:
            return type(sampler).__name__
    return type(loader).__name__


def examples_in_batch(loaders: Any, number: int, loader: int = 0) -> int:
    """How many examples a batch has: as many as the sampler drew; 1 where none of ours draws.

    Args:
        loaders: `Trainer.val_dataloaders` or `test_dataloaders`.
        number: of the batch in its epoch.
        loader: number of the loader.
    """
    all_loaders = list(flat(loaders))
    one = all_loaders[loader] if loader < len(all_loaders) else None
    return one.batches.examples(number) if isinstance(one, LazyLoader) else 1


def examples_in_training_batch(trainer: Trainer, number: int) -> int:
    """The same for a batch of the training; one of several loaders weighs 1."""
    loader = trainer.train_dataloader
    return loader.batches.examples(number) if isinstance(loader, LazyLoader) else 1


class BatchSizes(Callback):
    """Tells `self.log` how many examples a batch has: what it weighs in the mean of an epoch.

    Lightning guesses from the first tensor that it finds in the batch.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        train = trainer.train_dataloader
        several = [train] if isinstance(train, (list, tuple, dict)) else flat(train)
        both = [*several, *flat(trainer.val_dataloaders)]
        unknown = [x for x in both if not isinstance(x, LazyLoader) or x.batch_size is None]
        if unknown:
            say(
                "note   each batch weighs 1 in the means of an epoch, since no sampler of ours "
                f"tells how many examples it has ({_named(unknown[0])})"
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        weigh_batch(trainer, examples_in_training_batch(trainer, batch_idx))

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        loaders = trainer.val_dataloaders
        weigh_batch(trainer, examples_in_batch(loaders, batch_idx, dataloader_idx))

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        loaders = trainer.test_dataloaders
        weigh_batch(trainer, examples_in_batch(loaders, batch_idx, dataloader_idx))
