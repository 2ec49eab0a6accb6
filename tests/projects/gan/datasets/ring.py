import torch

from . import SplitDataset


class Ring(SplitDataset):
    """Points `(2,)` on a circle: an example is a tensor, and nothing else."""

    def __init__(self, split: str, size: int = 64):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        angle = 2 * torch.pi * torch.rand(size, generator=generator)
        self.points = torch.stack((angle.cos(), angle.sin()), dim=1)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index]
