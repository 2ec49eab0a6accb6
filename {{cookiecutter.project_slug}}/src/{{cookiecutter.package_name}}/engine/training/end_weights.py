"""Weights that callbacks replace when a training ends: by an average, mostly."""

from __future__ import annotations

import logging
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging

from .own_callbacks import has_hook, is_users

logger = logging.getLogger(__name__)
REPLACED = "weights_replaced_by"  # key of a checkpoint


class EndWeights(Callback):
    """Lets a training that has ended go on from its own weights, or says that it does not.

    Comes before all other callbacks. `WeightAveraging` (pytorch-lightning 2.6) copies the average
    into the model in `on_train_end`; a checkpoint saved then would have it for the weights too.

    Attributes:
        weights: from before the end; None where nobody could replace them.
        by: whose `on_train_end` that was.
        is_said: where a resumed run begins is said.
    """

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] | None = None
        self.by = ""
        self.is_said = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        owners = [c for c in trainer.callbacks if _may_replace(c)]  # type: ignore[attr-defined]
        if owners:
            self.by = ", ".join(type(owner).__name__ for owner in owners)
            state = pl_module.state_dict()
            self.weights = {name: value.detach().clone() for name, value in state.items()}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.weights is None or _equal(self.weights, checkpoint["state_dict"]):
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, WeightAveraging) for callback in callbacks):
            checkpoint["state_dict"] = self.weights  # beside which it stores the average
        else:
            checkpoint[REPLACED] = self.by

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        by = checkpoint.get(REPLACED)
        if by and not self.is_said:  # a checkpoint may be loaded twice
            self.is_said = True
            logger.warning(
                "WARNING: not to the same bits: the training goes on from the weights that %s has "
                "made at its end",
                by,
            )


def _may_replace(callback: Callback) -> bool:
    if isinstance(callback, (WeightAveraging, StochasticWeightAveraging)):
        return True
    return is_users(callback) and has_hook(callback, "on_train_end")


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
