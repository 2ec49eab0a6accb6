"""Your own model: replace what is in here, keep the methods. As it stands: a small perceptron."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam


class CustomModel(pl.LightningModule):
    """One hidden layer that classifies whatever fits into a vector.

    Args:
        input_shape: of one example; known by the dataset.
        num_classes: known by the dataset.
        hidden_dimension: width of the hidden layer.
        learning_rate: step size of Adam.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        hidden_dimension: int = 64,
        learning_rate: float = 3e-3,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(input_shape), hidden_dimension),
            nn.ReLU(),
            nn.Linear(hidden_dimension, num_classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps inputs `(B, *input_shape)` to logits `(B, num_classes)`, unnormalised."""
        return self.layers(inputs)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return F.cross_entropy(self(inputs), targets)  # logged as train_loss

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("val_loss", F.cross_entropy(self(inputs), targets), sync_dist=True)

    def configure_optimizers(self):
        return Adam(self.parameters(), lr=self.hparams.learning_rate)
