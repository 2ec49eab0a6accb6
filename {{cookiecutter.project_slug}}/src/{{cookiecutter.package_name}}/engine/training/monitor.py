"""Refuses a mistyped `monitor` before the first step, not after the first epoch."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import unknown


class MonitorExists(Callback):
    """Looks for the monitored metric among those of Lightning's sanity check of validation.

    Args:
        monitor: its name. One that begins with "train" is first logged in training and passes.

    Raises:
        UserError: from the hook; names the metrics that there are.
    """

    def __init__(self, monitor: str):
        self.monitor = monitor

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        if metrics and self.monitor not in metrics and not self.monitor.startswith("train"):
            raise unknown("monitor: metric", self.monitor, metrics)
