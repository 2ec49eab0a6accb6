"""The loaders of a dataset's splits."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch.utils.data import default_collate, default_convert

from ..contracts import SplitDataset
from ..errors import UserError
from .batches import Batches, LazyLoader


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

    def setup(self, stage: str) -> None:
        trainer: Any = self.trainer  # set by Lightning before it asks for anything
        model = trainer.lightning_module
        if not is_overridden("transfer_batch_to_device", model):
            # Else this would take the place of the model's own.
            self.transfer_batch_to_device = self._transfer  # type: ignore[method-assign]

    def train_dataloader(self) -> LazyLoader:
        """The loader of the training split.

        Raises:
            UserError: the split is smaller than a batch.
        """
        trainer: Any = self.trainer
        # As Lightning does for the loaders that it knows (`_resolve_overfit_batches`, 2.6.6).
        shuffle = self.arguments.get("shuffle") is not False and not trainer.overfit_batches
        loader = self._loader(self.train, shuffle, self.arguments.get("drop_last") or False)
        if not len(loader):
            raise UserError(
                f"dataloader_args: {len(self.train)} training examples make no batch"
                f"{self._for_each()}: take a smaller batch_size, or drop_last=False"
            )
        return loader

    def val_dataloader(self) -> LazyLoader | dict[str, LazyLoader]:
        """The loader of the validation split, with those of `more_val_sets` behind it.

        Raises:
            UserError: there are fewer examples than processes.
        """
        loader = self._val_loader(self.val)
        more = getattr(self.val, "more_val_sets", None)
        if not more:
            return loader
        if not isinstance(more, dict) or not all(
            hasattr(each, "__getitem__") for each in more.values()
        ):
            raise UserError(
                f"dataset_args: more_val_sets of {type(self.val).__name__} has to be a dict of "
                "names and datasets"
            )
        return {"val": loader} | {name: self._val_loader(each) for name, each in more.items()}

    def _val_loader(self, dataset: SplitDataset) -> LazyLoader:
        loader = self._loader(dataset, shuffle=False, drop_last=False)
        if len(dataset) and not len(loader):
            raise UserError(
                f"trainer_args: {len(dataset)} validation examples make no batch"
                f"{self._for_each()}: take fewer devices"
            )
        return loader

    def _for_each(self) -> str:
        trainer: Any = self.trainer
        processes = trainer.world_size
        return f" for each of {processes} processes" if processes > 1 else ""

    def _transfer(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if device.type == "cpu":  # there already; Lightning would look for tensors in each batch
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _loader(self, dataset: SplitDataset, shuffle: bool, drop_last: bool) -> LazyLoader:
        trainer: Any = self.trainer
        requested = {key: value for key, value in self.arguments.items() if value is not None}
        for name in ("shuffle", "drop_last", "balanced"):
            requested.pop(name, None)
        # None: the dataset's items are batches. torch's default, for a key that is absent, is 1.
        batch_size = self.arguments.get("batch_size", 1)
        requested.pop("batch_size", None)
        weights = None
        if self.arguments.get("balanced") and dataset is self.train and shuffle:
            weights = class_weights(dataset)
        batches = Batches(
            len(dataset),
            batch_size,
            shuffle,
            drop_last,
            self.seed,
            trainer.global_rank,
            trainer.world_size,
            weights,
        )
        collate = getattr(dataset, "collate_fn", default_collate)
        if batch_size is None and getattr(collate, "__func__", None) is SplitDataset.collate_fn:
            collate = default_convert  # as torch's DataLoader does
        # From pinned memory Lightning copies to the GPU while that computes (`non_blocking`).
        requested.setdefault("pin_memory", trainer.strategy.root_device.type == "cuda")
        return LazyLoader(dataset, batches, collate, **requested)


def class_weights(dataset: Any) -> torch.Tensor:
    """For each example `(N,)` float64: one by the number of examples of its class.

    Raises:
        UserError: the dataset does not tell the classes of its examples.
    """
    targets = getattr(dataset, "targets", None)
    try:
        targets = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        targets = torch.empty(0)
    if targets.shape != (len(dataset),) or targets.is_floating_point():
        raise UserError(
            f"dataloader_args: balanced=True needs the class of each example, as `targets` of "
            f"{type(dataset).__name__}: whole numbers, as many as it has examples"
        )
    _, classes, counts = torch.unique(targets, return_inverse=True, return_counts=True)
    weights: torch.Tensor = counts.double().reciprocal()[classes]
    return weights
