"""Helpers that your plug-ins share: put yours here. These make the models' optimizers.

Each schedule comes from `torch.optim.lr_scheduler`. Its state is plain values, so that a checkpoint
with it loads without running code.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from pytorch_lightning import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    PolynomialLR,
    SequentialLR,
)


def decay_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The parameters for an optimizer: matrices decay, biases and norms (one dimension) do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1]},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def with_linear_decay(optimizer: Optimizer, trainer: Trainer) -> Any:
    """For `configure_optimizers` to return: falls epoch by epoch, towards zero after the last."""
    epochs = trainer.max_epochs
    if epochs is None or epochs < 1:  # no end is known to fall towards
        return optimizer
    return {"optimizer": optimizer, "lr_scheduler": PolynomialLR(optimizer, epochs)}


def with_warmup_and_cosine(
    optimizer: Optimizer, trainer: Trainer, warmup: float, end: float = 0.0
) -> Any:
    """For `configure_optimizers` to return: rises linearly to the peak, falls as a half cosine.

    Args:
        optimizer: its learning rate is the peak.
        trainer: says how many steps there are.
        warmup: share of these steps that rise, in (0, 1).
        end: share of the peak at which the cosine ends, in [0, 1]; the rate stays there.
    """
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps):  # no end is known to fall towards
        return optimizer
    rising = max(1, round(warmup * steps))
    falling = max(1, int(steps) - rising)
    lowest = end * optimizer.param_groups[0]["lr"]  # before LinearLR sets it to the first step's
    parts = [
        LinearLR(optimizer, 1 / (rising + 1), total_iters=rising),
        CosineAnnealingLR(optimizer, falling, eta_min=lowest),
        ConstantLR(optimizer, end, total_iters=sys.maxsize),  # alone, the cosine would rise again
    ]
    schedule = SequentialLR(optimizer, parts, milestones=[rising, rising + falling])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
