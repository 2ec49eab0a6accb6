"""Early stopping that counts each value of the monitored metric once, whoever logs it and when."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer, callbacks

from ..errors import UserError
from .lightning_results import check_early_stopping
from .train_metrics import new_values


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, which looks when there is a new value: after a validation or at an epoch's end.

    Lightning's looks in one of the two places whether there is a new value or not. Its name is
    the same because checkpoints hold it (`EarlyStopping.state_key`).
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._check_new(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_new(trainer)
        if not trainer.enable_validation and self.monitor not in new_values(trainer):
            raise UserError(
                f"early_stopping_patience: there is no {self.monitor!r} to wait for, because "
                "nothing is validated: leave it out, or monitor=train_loss"
            )

    def _check_new(self, trainer: Trainer) -> None:
        if self.monitor in new_values(trainer):
            check_early_stopping(self, trainer)
