"""Forecasts of a series by two linear layers: one for its trend, one for the rest.

Zeng, Chen, Zhang and Xu 2022, *Are Transformers effective for time series forecasting?*
(arXiv:2205.13504), section 4: the decomposition of DLinear, and what NLinear does about levels that
drift: the window's last value is subtracted before and added after.

Shapes: B batch, T window, H horizon, S num_series.
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ..util.util import with_linear_decay


class DLinear(pl.LightningModule):
    """Two linear maps from window to horizon, the same for each series.

    Args:
        window: T, steps that it sees; known by the dataset.
        horizon: H, steps that it forecasts; known by the dataset.
        kernel_size: steps of the moving average that is the trend; odd.
        learning_rate: step size of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) in the
            first epoch; falls linearly, epoch by epoch, towards zero after the last.
        weight_decay: of AdamW.

    Raises:
        ValueError: kernel_size is even.
    """

    def __init__(
        self,
        window: int,
        horizon: int,
        kernel_size: int = 25,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size={kernel_size}: it is odd, so that an average has a middle"
            )
        self.save_hyperparameters()
        self.trend, self.rest = nn.Linear(window, horizon), nn.Linear(window, horizon)
        for layer in (self.trend, self.rest):  # begins by repeating the last value
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, windows: Tensor) -> Tensor:
        """Maps windows `(B, T, S)`, standardised, to the values that follow `(B, H, S)`."""
        last = windows[:, -1:]
        x = (windows - last).transpose(1, 2)  # (B, S, T)
        half = self.hparams.kernel_size // 2
        trend = F.avg_pool1d(F.pad(x, (half, half), mode="replicate"), 2 * half + 1, stride=1)
        return (self.trend(trend) + self.rest(x - trend)).transpose(1, 2) + last

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
