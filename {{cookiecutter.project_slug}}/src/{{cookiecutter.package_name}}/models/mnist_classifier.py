"""A perceptron with one hidden layer: the first network of most courses.

The architecture is that of the two-layer networks in LeCun, Bottou, Bengio and Haffner 1998,
*Gradient-based learning applied to document recognition*, with ReLU and Adam.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from ..util.util import with_linear_decay


class MNISTModel(pl.LightningModule):
    """Two-layer perceptron that classifies images.

    Args:
        input_shape: of one image, `(channels, height, width)`; known by the dataset.
        num_classes: known by the dataset.
        hidden_dimension: width of the hidden layer.
        learning_rate: step size of Adam (Kingma and Ba 2015, arXiv:1412.6980) in the first epoch;
            falls linearly, epoch by epoch, towards zero after the last.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        hidden_dimension: int = 784,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.save_hyperparameters()
        channels, height, width = input_shape
        self.hidden = nn.Linear(channels * height * width, hidden_dimension)
        self.head = nn.Linear(hidden_dimension, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `(B, *input_shape)` in [0, 1] to logits `(B, num_classes)`, unnormalised."""
        return self.head(F.relu(self.hidden(images.flatten(1))))

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
        optimizer = Adam(self.parameters(), lr=self.hparams.learning_rate, fused=True)
        return with_linear_decay(optimizer, self.trainer)
