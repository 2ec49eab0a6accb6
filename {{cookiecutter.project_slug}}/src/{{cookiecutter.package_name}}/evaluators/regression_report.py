"""How far a predicted number is from the true one."""

from __future__ import annotations

from typing import Protocol

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor

from ..engine.errors import UserError
from . import Evaluator


class Numbers(Protocol):
    """Examples (inputs, targets) whose targets are standardised numbers.

    Attributes:
        target: its name.
        target_mean: of the training rows, in units.
    """

    target: str
    target_mean: float

    def to_units(self, targets: Tensor) -> Tensor: ...


class RegressionReport(Evaluator):
    """Mean absolute error, root of the mean squared error, R2; beside predicting the mean.

    For models that map a batch to standardised numbers `(B,)`. Writes `predictions.csv` and
    `predictions.png`.

    Args:
        batch_size: examples at a time; changes speed and memory, not results.
    """

    def __init__(self, batch_size: int = 512):
        self.check_sizes(batch_size=batch_size)
        self.batch_size = batch_size

    def evaluate(self, model: LightningModule, dataset: Numbers) -> dict[str, float]:
        """Returns errors in the units of the data, and `test_r2`: 1 perfect, 0 the mean."""
        if getattr(dataset, "num_classes", None):
            raise UserError(
                f"evaluator_name: RegressionReport takes numbers, but {dataset.target!r} is a "
                "class: dataset_args.target names another column"
            )
        both = self.predictions(model, dataset, self.batch_size)
        preds, targets = (dataset.to_units(part.double()) for part in both)
        self.per_example = {"test_mae": (preds - targets).abs().tolist()}
        rows = zip(targets.tolist(), preds.tolist(), strict=True)
        self.add_table("predictions.csv", ("true", "predicted"), rows)
        self.add_figure("predictions.png", predictions_figure, dataset.target, preds, targets)
        mean = torch.full_like(targets, dataset.target_mean)
        return regression_scores("test", preds, targets) | regression_scores(
            "baseline", mean, targets
        )


def regression_scores(name: str, preds: Tensor, targets: Tensor) -> dict[str, float]:
    """MAE, RMSE and R2 of predictions `(N,)`; R2 is NaN where the targets do not vary."""
    errors = preds - targets
    variance = targets.var(correction=0)
    r2 = 1 - errors.square().mean() / variance if variance else torch.tensor(torch.nan)
    return {
        f"{name}_mae": errors.abs().mean().item(),
        f"{name}_rmse": errors.square().mean().sqrt().item(),
        f"{name}_r2": r2.item(),
    }


def predictions_figure(name: str, preds: Tensor, targets: Tensor) -> Figure:
    """Predicted against true values, and what is left over, `(N,)` each."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends = [min(preds.min(), targets.min()).item(), max(preds.max(), targets.max()).item()]
    left.plot(ends, ends, color="grey", linewidth=1, label="predicted = true")
    left.scatter(targets.numpy(), preds.numpy(), s=14, alpha=0.6)
    left.set_xlabel(f"true {name}")
    left.set_ylabel(f"predicted {name}")
    left.legend()
    right.axhline(0, color="grey", linewidth=1)
    right.scatter(preds.numpy(), (targets - preds).numpy(), s=14, alpha=0.6)
    right.set_xlabel(f"predicted {name}")
    right.set_ylabel("residual: true - predicted")
    return figure
