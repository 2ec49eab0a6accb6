"""A small convolutional network, after LeNet-5 in modern dress.

LeCun, Bottou, Bengio and Haffner 1998, *Gradient-based learning applied to document recognition*;
with ReLU, max-pooling, batch normalisation (arXiv:1502.03167) and dropout (JMLR 15, 2014).
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import with_linear_decay


class CNN(pl.LightningModule):
    """Two convolutional stages and a hidden layer that classify images.

    Args:
        input_shape: of one image, `(channels, height, width)`, sides >= 4; known by the dataset.
        num_classes: known by the dataset.
        width: channels of the first stage; the second has twice as many.
        hidden_dimension: width of the fully connected layer.
        dropout: share of hidden units left out while training, in [0, 1).
        learning_rate: step size of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in the
            first epoch; falls linearly, epoch by epoch, towards zero after the last.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: int = 16,
        hidden_dimension: int = 128,
        dropout: float = 0.25,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__()
        self.save_hyperparameters()
        channels, height, width_px = input_shape
        self.features = nn.Sequential(
            _stage(channels, width),  # (B, width, H/2, W/2)
            _stage(width, 2 * width),  # (B, 2 width, H/4, W/4)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * width * (height // 4) * (width_px // 4), hidden_dimension),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dimension, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `(B, *input_shape)` in [0, 1] to logits `(B, num_classes)`, unnormalised."""
        return self.classifier(self.features(images))

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
            self.parameters(), lr=hp.learning_rate, weight_decay=hp.weight_decay, fused=True
        )
        return with_linear_decay(optimizer, self.trainer)


def _stage(channels_in: int, channels_out: int) -> nn.Sequential:
    """Convolution 3x3, normalisation, ReLU, and half the resolution."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
