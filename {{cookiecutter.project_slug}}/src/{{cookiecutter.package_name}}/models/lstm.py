"""A recurrent network: reads a sequence token by token, and predicts the next one.

Hochreiter and Schmidhuber 1997, *Long short-term memory* (Neural Computation 9), with the forget
gate of Gers, Schmidhuber and Cummins 2000; dropout between layers (Zaremba, Sutskever and Vinyals
2014, arXiv:1409.2329), and one matrix for the tokens' embedding and the output (Press and Wolf
2017, arXiv:1608.05859).

Shapes: B batch, T tokens of a block, H hidden_dimension, V vocab_size.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import with_warmup_and_cosine


class LSTM(pl.LightningModule):
    """Language model over tokens; each block begins with an empty memory.

    Args:
        vocab_size: V, number of distinct tokens; known by the dataset.
        hidden_dimension: H, width of the embedding and of each layer.
        num_layers: recurrent layers.
        dropout: share of activations left out between layers while training, in [0, 1).
        learning_rate: highest step size of AdamW (arXiv:1711.05101); rises linearly over the first
            `warmup` of the steps, then falls as a half cosine to a tenth.
        warmup: share of all steps, in (0, 1).
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_dimension: int = 256,
        num_layers: int = 2,
        dropout: float = 0.2,
        learning_rate: float = 3e-3,
        warmup: float = 0.05,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(vocab_size, hidden_dimension)
        nn.init.normal_(self.embedding.weight, std=hidden_dimension**-0.5)
        self.layers = nn.LSTM(
            hidden_dimension,
            hidden_dimension,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps tokens `(B, T)` int64 to logits `(B, T, V)` of each next token, unnormalised."""
        return self._step(tokens, None)[0]

    def _step(self, tokens: Tensor, state) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self.dropout(self.embedding(tokens))  # (B, T, H)
        x, state = self.layers(x, state)
        return F.linear(self.dropout(x), self.embedding.weight, self.bias), state

    def training_step(self, batch, batch_idx):
        tokens, targets = batch
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())  # nats per token

    def validation_step(self, batch, batch_idx):
        tokens, targets = batch
        loss = F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())
        self.log("val_loss", loss, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = AdamW(self.parameters(), lr=hp.learning_rate, fused=True)
        return with_warmup_and_cosine(optimizer, self.trainer, hp.warmup, end=0.1)

    @torch.inference_mode()
    def generate(self, tokens: Tensor, length: int, temperature: float = 1.0) -> Tensor:
        """Continues `tokens` `(B, T)` by `length` sampled ones: `(B, T + length)`.

        Args:
            tokens: the beginning, at least one token.
            length: tokens to add.
            temperature: > 0; below 1 the likely ones are favoured.
        """
        unread, state = tokens, None
        for _ in range(length):
            logits, state = self._step(unread, state)
            unread = torch.multinomial((logits[:, -1] / temperature).softmax(-1), num_samples=1)
            tokens = torch.cat((tokens, unread), dim=1)
        return tokens
