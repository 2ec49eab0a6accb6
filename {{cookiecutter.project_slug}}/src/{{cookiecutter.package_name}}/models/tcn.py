"""Forecasts of series by convolutions over time that see only the past, ever further back.

Bai, Kolter and Koltun 2018, *An empirical evaluation of generic convolutional and recurrent
networks for sequence modeling* (arXiv:1803.01271): dilated causal convolutions in residual blocks,
weight normalisation, dropout of whole channels. As levels drift, the window's last value is
subtracted before and added after.

Shapes: B batch, T window, H horizon, S num_series, C channels.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim import AdamW

from ..util.util import with_linear_decay


class TCN(pl.LightningModule):
    """Temporal convolutional network that forecasts all series together.

    Args:
        window: T, steps that it sees; known by the dataset.
        horizon: H, steps that it forecasts; known by the dataset.
        num_series: S; known by the dataset.
        channels: C, of each block.
        kernel_size: steps that a convolution sees, at least 2.
        num_blocks: residual blocks, the i-th with a dilation of 2**i; None: as many as it takes to
            see the whole window.
        dropout: share of channels left out while training, in [0, 1).
        learning_rate: step size of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in the
            first epoch; falls linearly, epoch by epoch, towards zero after the last.
        weight_decay: of AdamW.

    Raises:
        ValueError: kernel_size is below 2.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        num_series: int,
        channels: int = 32,
        kernel_size: int = 3,
        num_blocks: int | None = None,
        dropout: float = 0.1,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__()
        if kernel_size < 2:
            raise ValueError(f"kernel_size={kernel_size}: a convolution sees at least 2 steps")
        self.save_hyperparameters()
        if num_blocks is None:
            num_blocks = 1
            while 1 + 2 * (kernel_size - 1) * (2**num_blocks - 1) < window:  # steps that are seen
                num_blocks += 1
        self.blocks = nn.Sequential(
            *(
                _Block(channels if i else num_series, channels, kernel_size, 2**i, dropout)
                for i in range(num_blocks)
            )
        )
        self.head = nn.Linear(channels, horizon * num_series)
        nn.init.normal_(self.head.weight, std=0.01)  # begins by repeating the last value, nearly
        nn.init.zeros_(self.head.bias)

    def forward(self, windows: Tensor) -> Tensor:
        """Maps windows `(B, T, S)`, standardised, to the values that follow `(B, H, S)`."""
        last = windows[:, -1:]
        x = self.blocks((windows - last).transpose(1, 2))  # (B, C, T)
        return self.head(x[:, :, -1]).unflatten(1, (self.hparams.horizon, -1)) + last

    def training_step(self, batch, batch_idx):
        windows, targets = batch
        return F.mse_loss(self(windows), targets)  # mean over the batch, in variances

    def validation_step(self, batch, batch_idx):
        windows, targets = batch
        loss = F.mse_loss(self(windows), targets)
        self.log("val_loss", loss, batch_size=len(targets), sync_dist=True)

    def configure_optimizers(self):
        hp = self.hparams
        optimizer = AdamW(
            self.parameters(), lr=hp.learning_rate, weight_decay=hp.weight_decay, fused=True
        )
        return with_linear_decay(optimizer, self.trainer)


class _Block(nn.Module):
    """Two dilated causal convolutions, added to what came in: `(B, C_in, T)` to `(B, C, T)`."""

    def __init__(self, channels_in: int, channels: int, size: int, dilation: int, dropout: float):
        super().__init__()
        self.past = (size - 1) * dilation  # steps before the first, which are zero
        self.conv1 = weight_norm(nn.Conv1d(channels_in, channels, size, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(channels, channels, size, dilation=dilation))
        self.dropout = nn.Dropout1d(dropout)
        self.fit = nn.Conv1d(channels_in, channels, 1) if channels_in != channels else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.fit(x) if self.fit else x
        for convolution in (self.conv1, self.conv2):
            x = self.dropout(F.relu(convolution(F.pad(x, (self.past, 0)))))
        return F.relu(x + shortcut)
