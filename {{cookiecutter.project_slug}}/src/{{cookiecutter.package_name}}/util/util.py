"""Helpers that your plug-ins share: put yours here. These make the models' optimizers.

Each schedule comes from `torch.optim.lr_scheduler`. Its state is plain values, so that a checkpoint
with it loads without running code.
"""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import PolynomialLR


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
