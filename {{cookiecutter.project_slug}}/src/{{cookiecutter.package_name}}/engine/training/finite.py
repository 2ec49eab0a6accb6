"""Ends a training that has diverged while there is still a checkpoint to go back to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UserError


class FiniteLoss(Callback):
    """Stops at the first step whose loss is NaN or infinite, and lets no such weights be saved.

    On an accelerator, where looking at the loss would make each step wait, it looks at the sum of
    the losses whenever something is logged or saved.

    Args:
        monitor: metric that has to be finite after a validation.
    """

    def __init__(self, monitor: str):
        self.monitor = monitor
        self.sum: torch.Tensor | float = 0.0
        self.since = 0  # step after which the losses are summed

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not outputs:  # the model has skipped the batch
            return
        loss = outputs["loss"].detach()
        self.sum = self.sum + loss
        if loss.device.type == "cpu" or trainer._logger_connector.should_update_logs:
            self._look(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        score = trainer.callback_metrics.get(self.monitor)
        if score is not None and not trainer.sanity_checking and not score.isfinite():
            raise _refusal(
                trainer, f"{self.monitor} is not finite after step {trainer.global_step}"
            )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._look(trainer)
        weights = checkpoint["state_dict"].items()
        bad = [name for name, w in weights if w.is_floating_point() and not w.isfinite().all()]
        if bad:
            raise _refusal(trainer, f"{bad[0]} is not finite after step {trainer.global_step}")

    def _look(self, trainer: Trainer) -> None:
        if not math.isfinite(float(self.sum)):
            step, first = trainer.global_step, self.since + 1
            steps = f"at step {step}" if first >= step else f"in one of steps {first} to {step}"
            raise _refusal(trainer, f"the loss is not finite {steps}")
        self.sum, self.since = 0.0, trainer.global_step


def _refusal(trainer: Trainer, what: str) -> UserError:
    folder: Path | None = getattr(trainer.checkpoint_callback, "folder", None)
    kept = "there is no checkpoint yet"
    if folder and (folder / "last.ckpt").exists():
        kept = f"{folder / 'last.ckpt'} is from before"
    return UserError(
        f"{what}, so the training has ended; {kept}. A smaller model_args.learning_rate or "
        "trainer_args.gradient_clip_val=1 may help, if the data has no such values itself"
    )
