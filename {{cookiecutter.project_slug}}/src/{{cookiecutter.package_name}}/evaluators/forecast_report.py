"""How far forecasts are from what came, beside repeating the last season."""

from __future__ import annotations

from typing import Protocol

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor

from . import Evaluator


class Series(Protocol):
    """Examples (windows, targets) of standardised series, S of them.

    Attributes:
        series_names: S of them.
        naive_error: `(S,)`, mean absolute error of the seasonal naive forecast in the training
            split, in units.
    """

    series_names: list[str]
    naive_error: Tensor

    def to_units(self, values: Tensor) -> Tensor: ...

    def seasonal_naive(self) -> Tensor: ...


class ForecastReport(Evaluator):
    """Mean absolute error, root of the mean squared error, and MASE, beside the seasonal naive.

    MASE (Hyndman and Koehler 2006, International Journal of Forecasting 22, equation 9 for seasons)
    is the mean absolute error in units of that of the seasonal naive forecast in the training
    split, averaged over the series.

    For models that map windows to forecasts, both standardised. Writes `per_step.csv` and
    `forecasts.png`.

    Args:
        batch_size: windows at a time; changes speed and memory, not results.
    """

    def __init__(self, batch_size: int = 512):
        self.check_sizes(batch_size=batch_size)
        self.batch_size = batch_size

    def evaluate(self, model: LightningModule, dataset: Series) -> dict[str, float]:
        """Returns errors in the units of the data; MASE has none."""
        preds, targets = map(dataset.to_units, self.predictions(model, dataset, self.batch_size))
        naive = dataset.to_units(dataset.seasonal_naive())
        errors, naive_errors = preds - targets, naive - targets  # (N, horizon, num_series)
        self.per_example = {"test_mae": errors.abs().mean((1, 2)).tolist()}
        rows = []
        for number, name in enumerate(dataset.series_names):
            columns = (e[..., number].abs().mean(0).tolist() for e in (errors, naive_errors))
            rows += [(name, i, *row) for i, row in enumerate(zip(*columns), start=1)]
        self.add_table("per_step.csv", ("series", "step", "mae", "seasonal_naive_mae"), rows)
        self.add_figure("forecasts.png", forecasts_figure, dataset.series_names, preds, targets)
        return forecast_scores("test", errors, dataset.naive_error) | forecast_scores(
            "baseline", naive_errors, dataset.naive_error
        )


def forecast_scores(name: str, errors: Tensor, naive_error: Tensor) -> dict[str, float]:
    """MAE, RMSE and MASE of errors `(N, horizon, S)`, with the scale `(S,)` of MASE.

    A series whose seasons are all the same has no such scale and is left out; NaN: all of them.
    """
    scaled = (errors.abs().mean((0, 1)) / naive_error)[naive_error > 0]
    return {
        f"{name}_mae": errors.abs().mean().item(),
        f"{name}_rmse": errors.square().mean().sqrt().item(),
        f"{name}_mase": scaled.mean().item(),
    }


def forecasts_figure(names: list[str], preds: Tensor, targets: Tensor) -> Figure:
    """Forecasts `(N, H, S)`, one after the other, over what came; of four series at most."""
    horizon, shown = preds.shape[1], names[:4]
    figure = Figure(figsize=(10, 0.6 + 2.8 * len(shown)), layout="constrained")
    steps = torch.arange(len(preds) + horizon - 1)
    for number, axes in enumerate(figure.subplots(len(shown), 1, squeeze=False)[:, 0]):
        truth = torch.cat((targets[:, 0, number], targets[-1, 1:, number]))
        axes.plot(steps, truth, color="black", linewidth=1, label="truth")
        for start in range(0, len(preds), horizon):
            line = preds[start, :, number]
            axes.plot(steps[start : start + horizon], line, color="C1", linewidth=1.5)
        axes.plot([], [], color="C1", label=f"forecasts, {horizon} steps each")
        axes.set_ylabel(names[number])
    axes.set_xlabel("steps of the test split")
    axes.legend()
    return figure
