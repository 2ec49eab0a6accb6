"""Your own evaluation: replace what is in here, keep the method. As it stands: accuracy."""

from __future__ import annotations

from pytorch_lightning import LightningModule
from torch.utils.data import Dataset

from . import Evaluator


class CustomEvaluator(Evaluator):
    """Share of the examples whose largest logit is the target, beside always saying one class.

    Args:
        batch_size: examples at a time; changes speed and memory, not results.
    """

    def __init__(self, batch_size: int = 512):
        self.check_sizes(batch_size=batch_size)
        self.batch_size = batch_size

    def evaluate(self, model: LightningModule, dataset: Dataset) -> dict[str, float]:
        """Returns what `evaluate` prints and stores; files go to `self.folder`."""
        logits, targets = self.predictions(model, dataset, self.batch_size)
        return {
            "test_accuracy": (logits.argmax(1) == targets).double().mean().item(),
            "baseline_accuracy": targets.bincount().max().item() / len(targets),
        }
