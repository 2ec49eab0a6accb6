"""Stops a training run that has diverged while there is still a checkpoint to go back to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UserError
from .checkpoints import checkpoint_folder
from .lightning_internals import is_logging_step
from .train_metrics import new_values

COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc, torch.jagged)
PIECE = 1 << 20  # numbers that are converted at a time


class FiniteLoss(Callback):
    """Stops at the first step whose loss is NaN or infinite, and lets no such weights be saved.

    Reading a value from an accelerator makes it wait (a device-to-host synchronisation): there the
    losses are summed, and the sum is read whenever something is logged or saved anyway.

    Args:
        monitor: metric that has to be finite after a validation.

    Raises:
        UserError: from the hooks; names the step and the checkpoint from before.
    """

    def __init__(self, monitor: str):
        self.monitor = monitor
        self.sum: torch.Tensor | float = 0.0
        self.since = 0  # step after which the losses are summed
        self.buffers: set[str] = set()  # names of those that there have been
        self.left_out: set[str] = set()  # names of those that were not finite from the start

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        buffers = dict(pl_module.named_buffers())
        self.buffers, self.left_out = {*buffers}, {*_not_finite(buffers)}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        losses = _losses(outputs or {})
        for loss in losses:
            self.sum = self.sum + loss
        if losses and (losses[0].device.type == "cpu" or is_logging_step(trainer)):
            self._look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        score = new_values(trainer).get(self.monitor)
        if score is not None and not score.isfinite():
            raise _refusal(
                trainer, f"{self.monitor} is not finite after step {trainer.global_step}"
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._look(trainer)
        weights = checkpoint["state_dict"]
        bad = [name for name in _not_finite(weights) if name not in self.left_out]
        # A causal mask of -inf, say, may be made by the first step only.
        made = {name for name, _ in pl_module.named_buffers()} - self.buffers
        if worse := [name for name in bad if name not in made]:
            raise _refusal(trainer, f"{worse[0]} is not finite after step {trainer.global_step}")
        self.left_out |= {*bad}
        self.buffers |= made

    def _look(self, trainer: Trainer) -> None:
        if not math.isfinite(float(self.sum)):
            step, first = trainer.global_step, self.since + 1
            steps = f"at step {step}" if first >= step else f"in one of steps {first} to {step}"
            raise _refusal(trainer, f"the loss is not finite {steps}")
        self.sum, self.since = 0.0, trainer.global_step


def is_finite(values: torch.Tensor) -> bool:
    """Whether a tensor has neither NaN nor infinity in it, found without a copy of it.

    `isfinite().all()` (torch 2.13) makes 1.7 copies, and takes thirteen times as long.
    """
    if values.layout in COMPRESSED:
        values = values.values().detach()  # else `view_as_real` asks the whole for its strides
    elif values.layout is torch.sparse_coo:
        values = values.coalesce().values()
    if values.is_complex():
        values = torch.view_as_real(values.conj() if values.is_conj() else values)
    if not values.is_floating_point() or not values.numel() or values.is_meta:
        return True  # integers, also quantized ones: there is no NaN among them
    if values.element_size() == 1:  # float8: torch has no `aminmax` of these
        pieces = (piece.half() for piece in torch.split(values.flatten(), PIECE))
        return all(is_finite(piece) for piece in pieces)
    low, high = torch.aminmax(values)  # both are NaN where one value is
    return math.isfinite(low) and math.isfinite(high)


def _losses(outputs: dict[str, Any]) -> list[torch.Tensor]:
    """What has to be finite of what `training_step` returned: with several optimizers, each scalar.

    Nothing if it returned None, to skip the batch.
    """
    named = [outputs["loss"]] if "loss" in outputs else outputs.values()
    return [v.detach() for v in named if isinstance(v, torch.Tensor) and v.numel() == 1]


def _not_finite(values: Mapping[str, Any]) -> list[str]:
    """The names of tensors with NaN or infinity; `get_extra_state` of a module may be anything."""
    tensors = ((name, value) for name, value in values.items() if isinstance(value, torch.Tensor))
    return [name for name, tensor in tensors if not is_finite(tensor)]


def _refusal(trainer: Trainer, what: str) -> UserError:
    folder = checkpoint_folder(trainer)
    kept = "there is no checkpoint yet"
    if folder and (folder / "last.ckpt").exists():
        kept = f"{folder / 'last.ckpt'} is from before"
    return UserError(
        f"{what}, so the training has ended; {kept}. A smaller model_args.learning_rate or "
        "trainer_args.gradient_clip_val=1 may help, if the data has no such values itself"
    )
