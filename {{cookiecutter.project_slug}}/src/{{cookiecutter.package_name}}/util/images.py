"""Images that fit in memory, read and augmented a batch at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engine.contracts import SplitDataset

VALIDATE_EVERY = 10  # each tenth training example is one of validation


class ImagesInMemory(SplitDataset):
    """Pairs of an image `(C, H, W)` float32 in [0, 1] and its class, int64.

    Args:
        split: "train" or "val" (nine and one tenth of the official training split), or "test".
        images: `(N, C, H, W)` uint8; of all splits that share a file, so that it is held once.
        targets: `(N,)`.
        shift: pixels by which a training image is moved at most, in each direction.
        flip: whether half of the training images are mirrored, left to right.

    Attributes:
        indices: of the images in this split, `(M,)`.
        targets: of these, `(M,)` int64.
    """

    def __init__(
        self, split: str, images: Tensor, targets: Tensor, shift: int = 0, flip: bool = False
    ):
        if not 0 <= shift < min(images.shape[-2:]):
            raise ValueError(f"shift={shift}: it takes 0 to {min(images.shape[-2:]) - 1} pixels")
        self.images, self.indices = images, torch.arange(len(targets))
        if split != "test":
            is_val = self.indices % VALIDATE_EVERY == 0
            self.indices = self.indices[is_val == (split == "val")]
        self.targets = targets[self.indices].long()
        is_train = split == "train"
        self.shift, self.flip = shift * is_train, flip and is_train

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: images `(B, C, H, W)` and targets `(B,)`."""
        chosen = torch.as_tensor(indices)
        images = augmented(self.images[self.indices[chosen]], self.shift, self.flip)
        return images.to(torch.float32).div_(255), self.targets[chosen]

    def describe(self) -> dict:
        return {"examples": len(self)}


def augmented(images: Tensor, shift: int, flip: bool) -> Tensor:
    """Moves and mirrors images `(B, C, H, W)`, each by a draw of its own.

    What moves in from outside is 0. The draws are from torch's global generator, which a run seeds
    and keeps in its checkpoints.

    Args:
        images: of any type.
        shift: pixels at most, in each direction.
        flip: whether half of the images are mirrored, left to right.
    """
    size, _, height, width = images.shape
    if not (shift or flip):
        return images
    rows, columns = torch.arange(height).expand(size, -1), torch.arange(width).expand(size, -1)
    if flip:
        mirrored = torch.rand(size, 1) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if shift:
        down, right = torch.randint(2 * shift + 1, (2, size, 1))
        rows, columns = rows + down, columns + right
        images = F.pad(images, (shift, shift, shift, shift))
    which = torch.arange(size)[:, None, None]
    # Indices around a slice put its dimension last: (B, H, W, C).
    return images[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
