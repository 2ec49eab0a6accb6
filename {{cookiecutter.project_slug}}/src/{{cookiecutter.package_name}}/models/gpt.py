"""A small decoder-only Transformer: predicts the next token of a sequence.

Radford, Wu, Child, Luan, Amodei and Sutskever 2019, *Language models are unsupervised multitask
learners* (GPT-2): normalisation before each sublayer, learned positions, and one matrix for the
tokens' embedding and the output (Press and Wolf 2017, arXiv:1608.05859).

Shapes: B batch, T tokens of a block, C embedding_dimension, V vocab_size, H num_heads.
"""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import decay_groups, with_warmup_and_cosine


class GPT(pl.LightningModule):
    """Language model over tokens, with causal self-attention.

    Args:
        vocab_size: V, number of distinct tokens; known by the dataset.
        block_size: T, the most tokens that it sees at once; known by the dataset.
        num_layers: Transformer blocks.
        num_heads: H, attention heads in a block; divides embedding_dimension.
        embedding_dimension: C, width of the residual stream.
        dropout: share of activations left out while training, in [0, 1).
        learning_rate: peak step size of AdamW (arXiv:1711.05101); rises linearly over the first
            `warmup` of the steps, then falls as a half cosine to a tenth.
        warmup: share of all steps, in (0, 1).
        weight_decay: of AdamW, on matrices only.

    Raises:
        ValueError: an argument is out of its range, or num_heads does not divide
            embedding_dimension.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: int,
        num_layers: int = 4,
        num_heads: int = 4,
        embedding_dimension: int = 128,
        dropout: float = 0.1,
        learning_rate: float = 3e-3,
        warmup: float = 0.05,
        weight_decay: float = 0.1,
    ):
        super().__init__()
        if min(num_layers, num_heads) < 1 or not 0 < warmup < 1:
            raise ValueError(
                f"num_layers={num_layers}, num_heads={num_heads}, warmup={warmup}: the first two "
                "are at least 1, the last is between 0 and 1"
            )
        if embedding_dimension % num_heads:
            raise ValueError(
                f"num_heads={num_heads} does not divide embedding_dimension={embedding_dimension}"
            )
        self.save_hyperparameters()
        self.token_embedding = nn.Embedding(vocab_size, embedding_dimension)
        self.position_embedding = nn.Embedding(block_size, embedding_dimension)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            _Block(embedding_dimension, num_heads, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embedding_dimension)
        self.apply(_initialise)
        for name, weight in self.named_parameters():
            if name.endswith("project.weight"):  # keeps the residual stream's variance near one
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * num_layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps tokens `(B, T)` int64 to logits `(B, T, V)` of each next token, unnormalised."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (B, T, C)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token_embedding.weight)  # the tied output

    def training_step(self, batch, batch_idx):
        tokens, targets = batch
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())  # nats per token

    def validation_step(self, batch, batch_idx):
        tokens, targets = batch
        loss = F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())
        self.log("val_loss", loss, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = AdamW(
            decay_groups(self),
            lr=hp.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=hp.weight_decay,
            fused=True,
        )
        return with_warmup_and_cosine(optimizer, self.trainer, hp.warmup, end=0.1)

    @torch.inference_mode()
    def generate(self, tokens: Tensor, length: int, temperature: float = 1.0) -> Tensor:
        """Continues `tokens` `(B, T)` by `length` sampled ones: `(B, T + length)`.

        Args:
            tokens: the beginning, at least one token.
            length: tokens to add.
            temperature: > 0; below 1 the likely ones are favoured.
        """
        for _ in range(length):
            logits = self(tokens[:, -self.hparams.block_size :])[:, -1] / temperature  # (B, V)
            following = torch.multinomial(logits.softmax(-1), num_samples=1)
            tokens = torch.cat((tokens, following), dim=1)
        return tokens


class _Block(nn.Module):
    """Attention and a perceptron, each added to the residual stream: `(B, T, C)` to the same."""

    def __init__(self, dimension: int, num_heads: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(dimension)
        self.attention = _Attention(dimension, num_heads, dropout)
        self.mlp_norm = nn.LayerNorm(dimension)
        self.mlp = _MLP(dimension, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class _Attention(nn.Module):
    """Causal self-attention with several heads (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, dimension: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.project = nn.Linear(dimension, dimension)
        self.residual_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, C/H)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, C/H)
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return self.residual_dropout(self.project(mixed.transpose(1, 2).flatten(2)))


class _MLP(nn.Module):
    """Two layers with GELU, four times as wide inside."""

    def __init__(self, dimension: int, dropout: float):
        super().__init__()
        self.hidden = nn.Linear(dimension, 4 * dimension)
        self.project = nn.Linear(4 * dimension, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.project(F.gelu(self.hidden(x))))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
