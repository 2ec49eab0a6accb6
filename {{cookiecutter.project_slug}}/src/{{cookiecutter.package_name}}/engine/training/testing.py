"""Lightning's own test of a model: its `test_step` on a test split."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from ..errors import UserError
from ..runs.data_module import DataModuleSplit
from .loaders import DataModule
from .own_loaders import BatchSizes, training_data


def run_test(model: LightningModule, dataset: Any, batch_size: int) -> dict[str, float]:
    """Runs `Trainer.test`; returns what the model's steps and hooks log.

    Args:
        model: on its device.
        dataset: the test split, or that of a data module, which has loaders of its own.
        batch_size: of the others.
    """
    device = model.device
    devices: Any = [device.index or 0] if device.type == "cuda" else 1
    trainer = Trainer(
        accelerator="cuda" if device.type == "cuda" else device.type,
        devices=devices,
        callbacks=[BatchSizes()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    data: Any = dataset
    if isinstance(dataset, DataModuleSplit):
        data = training_data(dataset, dataset, {}, dataset.seed)
    else:
        data = DataModule(dataset, dataset, {"batch_size": batch_size}, seed=0)
        data.test_dataloader = data.val_dataloader
    trainer.test(model, datamodule=data, verbose=False)
    values = trainer.callback_metrics
    if not values:
        raise UserError(
            f"evaluator_name: the test_step of {type(model).__name__} logs nothing: what it gives "
            'to `self.log("test_...", value)` is the result'
        )
    return {name: float(value) for name, value in values.items()}
