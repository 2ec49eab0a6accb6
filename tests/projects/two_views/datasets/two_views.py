import torch

from . import SplitDataset


class TwoViews(SplitDataset):
    """Two noisy views of a point, each `(8,)`; no targets, and random in every split."""

    num_inputs = 8

    def __init__(self, split: str, size: int = 48):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.points = torch.randn(size, 8, generator=generator)

    def __len__(self):
        return len(self.points)

    def __getitems__(self, indices):
        points = self.points[indices]
        return [points + 0.1 * torch.randn_like(points) for _ in range(2)]
