"""Loaders whose order is a function of seed, epoch and rank, and nothing else."""

from __future__ import annotations

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from .experiment import UserError


class DataModule(LightningDataModule):
    """Builds the loaders after the processes have started, so that each rank knows itself.

    Args:
        train: training split.
        val: validation split.
        arguments: of the DataLoader; `shuffle` (default True) and `drop_last` are for training.
        seed: of the order.
    """

    def __init__(self, train: Dataset, val: Dataset, arguments: dict, seed: int):
        super().__init__()
        self.train, self.val, self.arguments, self.seed = train, val, arguments, seed

    def train_dataloader(self) -> DataLoader:
        loader = self._loader(self.train, shuffle=self.arguments.get("shuffle") is not False)
        if not len(loader):
            raise UserError(
                f"dataloader_args: {len(self.train)} training examples make no batch: take a "
                "smaller batch_size, or drop_last=False"
            )
        return loader

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, shuffle=False, drop_last=False)

    def _loader(self, dataset: Dataset, shuffle: bool, **own) -> DataLoader:
        # Also right for one process: its order is seeded, and new in each epoch.
        sampler = DistributedSampler(
            dataset, self.trainer.world_size, self.trainer.global_rank, shuffle, self.seed
        )
        return DataLoader(
            dataset,
            sampler=sampler,
            **{
                "collate_fn": dataset.collate_fn(),
                "generator": torch.Generator().manual_seed(self.seed),  # of the workers' seeds
                **{k: v for k, v in self.arguments.items() if k != "shuffle" and v is not None},
                **own,
            },
        )
