import torch

from . import SplitDataset


class Blobs(SplitDataset):
    """Images `(3, 32, 32)` with a bright disc, and which pixels are in it, `(32, 32)` int64."""

    num_classes = 2

    def __init__(self, split: str, size: int = 40, noise: float = 0.1):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.centres = torch.randint(8, 24, (size, 2), generator=generator)
        self.noise = noise * torch.randn(size, 3, 32, 32, generator=generator)

    def __len__(self):
        return len(self.centres)

    def __getitem__(self, index):
        places = torch.stack(torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij"))
        mask = (places - self.centres[index][:, None, None]).square().sum(0) < 36
        return mask + self.noise[index], mask.long()
