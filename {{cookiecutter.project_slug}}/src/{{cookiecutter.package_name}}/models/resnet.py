"""A residual network for small images.

He, Zhang, Ren and Sun 2015, *Deep residual learning for image recognition* (arXiv:1512.03385): the
form of section 4.2, made for CIFAR-10, with shortcuts that pad with zeros (option A). Trained with
a learning rate that rises and falls once (Smith and Topin 2017, arXiv:1708.07120).

Shapes: B batch, C num_classes, W width, H x H a side of the image.
"""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from ..util.util import decay_groups


class ResNet(pl.LightningModule):
    """Three stages of residual blocks that classify images.

    Args:
        input_shape: of one image, `(channels, height, width)`, sides >= 4; known by the dataset.
        num_classes: known by the dataset.
        depth: weighted layers, 6 n + 2 for n blocks in each stage: 8, 14, 20, 32, 44, 56, 110.
        width: channels of the first stage; doubled by each of the other two.
        learning_rate: highest step size of SGD with Nesterov's momentum of 0.9; rises over the
            first `warmup` of the steps, then falls to zero.
        warmup: share of all steps, in (0, 1).
        weight_decay: of SGD, on the weights of convolutions and of the last layer.
        label_smoothing: share of the target that is spread over all classes, in [0, 1).

    Raises:
        ValueError: there is no network of this depth.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        depth: int = 20,
        width: int = 16,
        learning_rate: float = 0.1,
        warmup: float = 0.2,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth={depth} is not 6 n + 2: take 8, 14, 20, 32, 44, 56 or 110")
        self.save_hyperparameters()
        blocks, channels = (depth - 2) // 6, width
        layers = [_convolution(input_shape[0], width), nn.BatchNorm2d(width), nn.ReLU()]
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(_Block(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.features = nn.Sequential(*layers)  # (B, 4 W, H/4, H/4)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images `(B, *input_shape)` in [0, 1] to logits `(B, num_classes)`, unnormalised."""
        return self.head(self.features(2 * images - 1).mean((2, 3)))

    def training_step(self, batch, batch_idx):
        images, targets = batch  # the loss: mean over the batch, nats
        return F.cross_entropy(self(images), targets, label_smoothing=self.hparams.label_smoothing)

    def validation_step(self, batch, batch_idx):
        images, targets = batch
        logits = self(images)
        accuracy = (logits.argmax(1) == targets).float().mean()
        metrics = {"val_loss": F.cross_entropy(logits, targets), "val_accuracy": accuracy}
        self.log_dict(metrics, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = SGD(
            decay_groups(self),
            lr=hp.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=hp.weight_decay,
            fused=True,
        )
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):  # no end is known to fall towards
            return optimizer
        cycle = OneCycleLR(
            optimizer, hp.learning_rate, int(steps), pct_start=hp.warmup, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class _Block(nn.Module):
    """Two convolutions, added to what came in: `(B, channels_in, H, H)` to `(B, channels, ...)`."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.stride, self.padding = stride, channels - channels_in
        self.conv1, self.norm1 = (
            _convolution(channels_in, channels, stride),
            nn.BatchNorm2d(channels),
        )
        self.conv2, self.norm2 = _convolution(channels, channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.padding:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.padding))  # new channels are zero
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)) + shortcut)


def _convolution(channels_in: int, channels: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3, with the initialisation of He et al. 2015 (arXiv:1502.01852) for ReLU."""
    layer = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
