"""What the model itself measures: its `test_step`, run by Lightning."""

from __future__ import annotations

from pytorch_lightning import LightningModule
from torch.utils.data import Dataset

from ..engine.errors import UserError
from ..engine.training.testing import run_test
from . import Evaluator


class TestStep(Evaluator):
    """Whatever the model logs in `test_step` and its test hooks, by Lightning's `Trainer.test`.

    For every model with a `test_step`, and any kind of batch.

    Args:
        batch_size: examples at a time; a LightningDataModule has its own.
    """

    __test__ = False  # for pytest, which takes it for tests by its name

    def __init__(self, batch_size: int = 64):
        self.check_sizes(batch_size=batch_size)
        self.batch_size = batch_size

    def evaluate(self, model: LightningModule, dataset: Dataset) -> dict[str, float]:
        """Returns the last value of each name, the mean over the split where Lightning takes it."""
        if type(model).test_step is LightningModule.test_step:
            raise UserError(
                f"evaluator_name: TestStep runs the model's own test_step, and "
                f"{type(model).__name__} has none: write one, or take another evaluator"
            )
        return run_test(model, dataset, self.batch_size)
