"""Your own data: replace what is in here, keep the methods. As it stands: two half moons."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from . import SplitDataset


class CustomDataset(SplitDataset):
    """Points `(2,)` float32 on one of two interleaved half circles, and which one, int64.

    Args:
        split: "train", "val" or "test", each with points of its own.
        size: points in a split.
        noise: standard deviation of the points' distance from their half circle.
    """

    # What a model has an argument of the same name for, it takes from here.
    input_shape = (2,)
    num_classes = 2

    def __init__(
        self, split: Literal["train", "val", "test"], size: int = 1000, noise: float = 0.2
    ):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.targets = torch.arange(size) % 2
        angle = torch.rand(size, generator=generator) * torch.pi
        side = 1 - 2 * self.targets  # 1 or -1
        points = torch.stack([side * angle.cos() + self.targets, side * (angle.sin() - 0.25)], 1)
        self.points = points + noise * torch.randn(size, 2, generator=generator)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.points[index], self.targets[index]
