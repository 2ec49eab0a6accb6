"""A small vision Transformer: an image as a sequence of patches.

Dosovitskiy et al. 2020, *An image is worth 16x16 words* (arXiv:2010.11929), as simplified by Beyer,
Zhai and Kolesnikov 2022 (arXiv:2205.01580): the mean of the patches in place of a class token,
fixed sine and cosine positions in two dimensions.

Shapes: B batch, N patches of an image, D embedding_dimension.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import decay_groups, with_warmup_and_cosine


class ViT(pl.LightningModule):
    """Transformer encoder over patches that classifies images.

    Args:
        input_shape: of one image, `(channels, height, width)`; known by the dataset.
        num_classes: known by the dataset.
        patch_size: pixels of a patch's side; divides height and width.
        num_layers: Transformer blocks.
        num_heads: attention heads in a block; divides embedding_dimension.
        embedding_dimension: D, width of the residual stream, a multiple of 4.
        dropout: share of activations left out while training, in [0, 1).
        learning_rate: highest step size of AdamW (arXiv:1711.05101); rises linearly over the first
            `warmup` of the steps, then falls as a half cosine to zero.
        warmup: share of all steps, in (0, 1).
        weight_decay: of AdamW, on matrices only.

    Raises:
        ValueError: a size is not divided as it has to be.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        patch_size: int = 4,
        num_layers: int = 4,
        num_heads: int = 4,
        embedding_dimension: int = 96,
        dropout: float = 0.1,
        learning_rate: float = 2e-3,
        warmup: float = 0.1,
        weight_decay: float = 0.05,
    ):
        super().__init__()
        channels, height, width = input_shape
        if height % patch_size or width % patch_size:
            raise ValueError(
                f"patch_size={patch_size} does not divide images of {height} x {width} pixels"
            )
        if embedding_dimension % num_heads or embedding_dimension % 4:
            raise ValueError(
                f"embedding_dimension={embedding_dimension} is no multiple of 4 and of "
                f"num_heads={num_heads}"
            )
        self.save_hyperparameters()
        self.embed = nn.Conv2d(channels, embedding_dimension, patch_size, stride=patch_size)
        positions = _positions(height // patch_size, width // patch_size, embedding_dimension)
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = nn.ModuleList(
            _Block(embedding_dimension, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embedding_dimension)
        self.head = nn.Linear(embedding_dimension, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `(B, *input_shape)` in [0, 1] to logits `(B, num_classes)`, unnormalised."""
        x = self.embed(2 * images - 1).flatten(2).transpose(1, 2) + self.positions  # (B, N, D)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))

    def training_step(self, batch, batch_idx):
        images, targets = batch
        return F.cross_entropy(self(images), targets)  # mean over the batch, nats

    def validation_step(self, batch, batch_idx):
        images, targets = batch
        logits = self(images)
        accuracy = (logits.argmax(1) == targets).float().mean()
        metrics = {"val_loss": F.cross_entropy(logits, targets), "val_accuracy": accuracy}
        self.log_dict(metrics, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = AdamW(
            decay_groups(self), lr=hp.learning_rate, weight_decay=hp.weight_decay, fused=True
        )
        return with_warmup_and_cosine(optimizer, self.trainer, hp.warmup)


class _Block(nn.Module):
    """Attention and a perceptron, each added to the residual stream: `(B, N, D)` to the same."""

    def __init__(self, dimension: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.project = nn.Linear(dimension, dimension)
        self.mlp = nn.Sequential(
            nn.Linear(dimension, 4 * dimension), nn.GELU(), nn.Linear(4 * dimension, dimension)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.project(mixed))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


def _positions(height: int, width: int, dimension: int) -> Tensor:
    """Sines and cosines of each patch's row and column, `(height * width, dimension)`."""
    frequencies = 10_000 ** -torch.linspace(0, 1, dimension // 4)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [part.flatten()[:, None] * frequencies for part in (rows, columns)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
