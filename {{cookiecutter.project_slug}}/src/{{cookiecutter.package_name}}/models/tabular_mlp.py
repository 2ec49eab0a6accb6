"""A perceptron for tables, with embeddings for categories.

Gorishniy, Rubachev, Khrulkov and Babenko 2021, *Revisiting deep learning models for tabular data*
(arXiv:2106.11959, section 3.1): the baseline that few other networks beat.

Shapes: B batch, N num_numbers, K columns of categories.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import with_linear_decay


class TabularMLP(pl.LightningModule):
    """Hidden layers on the numbers and on the embeddings of the categories of a row.

    Args:
        num_numbers: N, columns of numbers, which come first; known by the dataset.
        category_sizes: number of values of each column of categories, 0 (unknown) among them;
            known by the dataset.
        num_classes: known by the dataset; None: the target is a number.
        hidden_dimension: width of the hidden layers.
        num_layers: hidden layers.
        embedding_dimension: width of a category's embedding.
        dropout: share of hidden units left out while training, in [0, 1).
        learning_rate: step size of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in the
            first epoch; falls linearly, epoch by epoch, towards zero after the last.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        num_numbers: int,
        category_sizes: list[int],
        num_classes: int | None,
        hidden_dimension: int = 64,
        num_layers: int = 2,
        embedding_dimension: int = 8,
        dropout: float = 0.1,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, embedding_dimension) for size in category_sizes
        )
        width, layers = num_numbers + embedding_dimension * len(category_sizes), []
        for _ in range(num_layers):
            layers += [nn.Linear(width, hidden_dimension), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden_dimension
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes or 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Maps rows `(B, N + K)`, categories last, to what is predicted of them.

        Returns:
            Logits `(B, num_classes)`, unnormalised; or standardised numbers `(B,)`.
        """
        numbers, codes = rows.split((self.hparams.num_numbers, len(self.embeddings)), dim=1)
        columns = zip(self.embeddings, codes.long().unbind(1), strict=True)
        parts = [numbers, *(embed(column) for embed, column in columns)]
        outputs = self.head(self.hidden(torch.cat(parts, dim=1)))
        return outputs if self.hparams.num_classes else outputs.squeeze(1)

    def training_step(self, batch, batch_idx):
        return self._loss(self(batch[0]), batch[1])

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch: cross-entropy in nats, or squared error in variances."""
        if self.hparams.num_classes:
            return F.cross_entropy(outputs, targets)
        return F.mse_loss(outputs, targets)

    def validation_step(self, batch, batch_idx):
        rows, targets = batch
        outputs = self(rows)
        metrics = {"val_loss": self._loss(outputs, targets)}
        if self.hparams.num_classes:
            metrics["val_accuracy"] = (outputs.argmax(1) == targets).float().mean()
        self.log_dict(metrics, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = AdamW(
            self.parameters(), lr=hp.learning_rate, weight_decay=hp.weight_decay, fused=True
        )
        return with_linear_decay(optimizer, self.trainer)
