"""How well a classifier classifies, and how well it knows."""

from __future__ import annotations

import csv

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import Dataset

from ..engine.errors import UserError
from . import Evaluator


class ClassificationReport(Evaluator):
    """Accuracy, loss, calibration error; precision, recall and F1 of each class; the mistakes.

    For models that map a batch to logits `(B, num_classes)`, and datasets of (inputs, targets)
    which know `num_classes` and may know `class_names`. Writes `per_class.csv`,
    `confusion_matrix.png`, `mistakes.csv` with the mistakes, the most confident ones first, and
    `mistakes.png` with some of them where the inputs are pictures, `(1 or 3, H, W)` in [0, 1].

    Args:
        batch_size: examples at a time; changes speed and memory, not results.
        num_bins: bins of confidence for the calibration error, of equal width (ECE: Guo et al.
            2017, arXiv:1706.04599, equation 3).
        num_pictures: mistakes in the picture, at most.
    """

    def __init__(self, batch_size: int = 512, num_bins: int = 15, num_pictures: int = 24):
        if min(batch_size, num_bins, num_pictures) < 1:
            raise ValueError(
                f"batch_size={batch_size}, num_bins={num_bins}, num_pictures={num_pictures}: each "
                "is at least 1"
            )
        self.batch_size, self.num_bins, self.num_pictures = batch_size, num_bins, num_pictures

    def evaluate(self, model: LightningModule, dataset: Dataset) -> dict[str, float]:
        """Returns `test_accuracy` and others in [0, 1], and `test_loss` in nats per example.

        The accuracy of other test sets like this one is between `test_accuracy_low` and
        `test_accuracy_high` 95 times of 100 (bootstrap; Efron 1979, percentiles).
        """
        if not getattr(dataset, "num_classes", None):
            raise UserError(
                f"evaluator_name: {type(self).__name__} needs classes, and what "
                f"{type(dataset).__name__} has to be predicted is none (see its dataset_args)"
            )
        batches = self.batches(model, dataset, self.batch_size)
        pairs = [(model(inputs).cpu(), targets.cpu()) for inputs, targets in batches]
        logits, targets = (torch.cat(part) for part in zip(*pairs, strict=True))
        confidences, preds = logits.softmax(1).max(1)
        confusion = torch.zeros(dataset.num_classes, dataset.num_classes, dtype=torch.long)
        confusion.index_put_((targets, preds), torch.ones_like(targets), accumulate=True)
        correct = (preds == targets).double()
        losses = F.cross_entropy(logits.double(), targets, reduction="none")
        self.per_example = {"test_accuracy": correct.tolist(), "test_loss": losses.tolist()}
        scores = class_scores(confusion)  # (num_classes, 3)
        precision, recall, f1 = scores.mean(0).tolist()
        results = {
            "test_accuracy": correct.mean().item(),
            **bootstrap_interval("test_accuracy", correct),
            "test_loss": losses.mean().item(),
            "test_precision": precision,
            "test_recall": recall,
            "test_f1": f1,
            "test_calibration_error": calibration_error(
                confidences, preds == targets, self.num_bins
            ),
            "baseline_accuracy": (confusion.sum(1).max() / confusion.sum()).item(),
        }
        names = getattr(dataset, "class_names", None) or list(map(str, range(dataset.num_classes)))
        self._print(names, confusion, scores, results)
        self._write(names, confusion, scores)
        self._write_mistakes(names, dataset, confidences, preds, targets)
        return results

    def _print(self, names, confusion, scores, results) -> None:
        width = max(len("class"), *map(len, names))
        print(f"{'class':>{width}}  precision  recall      F1  examples")
        for name, row, total in zip(names, scores.tolist(), confusion.sum(1).tolist(), strict=True):
            print(f"{name:>{width}}  {row[0]:9.4f}  {row[1]:6.4f}  {row[2]:6.4f}  {total:8d}")
        macro = [results[f"test_{key}"] for key in ("precision", "recall", "f1")]
        print(
            f"{'mean':>{width}}  {macro[0]:9.4f}  {macro[1]:6.4f}  {macro[2]:6.4f}  "
            f"{confusion.sum():8d}\n"
        )

    def _write(self, names, confusion, scores) -> None:
        with open(self.folder / "per_class.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("class", "precision", "recall", "f1", "examples"))
            for name, row, total in zip(
                names, scores.tolist(), confusion.sum(1).tolist(), strict=True
            ):
                table.writerow((name, *row, total))
        confusion_figure(names, confusion).savefig(self.folder / "confusion_matrix.png", dpi=120)

    def _write_mistakes(self, names, dataset, confidences, preds, targets) -> None:
        wrong = (preds != targets).nonzero().squeeze(1)
        wrong = wrong[confidences[wrong].argsort(descending=True, stable=True)].tolist()
        rows = [(i, names[targets[i]], names[preds[i]], confidences[i].item()) for i in wrong]
        with open(self.folder / "mistakes.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("example", "true", "predicted", "confidence"), *rows])
        rows = rows[: self.num_pictures]
        pictures = [dataset[row[0]][0] for row in rows]
        if pictures and pictures[0].dim() == 3 and len(pictures[0]) in (1, 3):
            titles = [f"{true}, not {pred}\n{share:.1%} sure" for _, true, pred, share in rows]
            mistakes_figure(pictures, titles).savefig(self.folder / "mistakes.png", dpi=120)


def bootstrap_interval(name: str, correct: Tensor, draws: int = 10_000) -> dict[str, float]:
    """Between what 95 percent of the means lie when examples `(N,)` are drawn again and again.

    How many of N draws are right is a binomial number, which spares drawing them one by one.
    """
    size, share = len(correct), correct.mean().item()
    means = np.random.default_rng(0).binomial(size, share, draws) / size
    low, high = np.percentile(means, (2.5, 97.5))
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def class_scores(confusion: Tensor) -> Tensor:
    """Precision, recall and F1 of each class, `(C, 3)` float64, from counts `(C, C)`.

    Rows of `confusion` are the true classes, columns the predicted ones. A class that is never
    predicted, or never occurs, scores 0.
    """
    counts = confusion.double()
    hits, predicted, occurring = counts.diagonal(), counts.sum(0), counts.sum(1)
    f1 = 2 * hits / (predicted + occurring).clamp(min=1)
    return torch.stack((hits / predicted.clamp(min=1), hits / occurring.clamp(min=1), f1), dim=1)


def calibration_error(confidences: Tensor, correct: Tensor, num_bins: int) -> float:
    """Mean distance between confidence and accuracy over bins, weighted by their examples.

    Args:
        confidences: probability of the predicted class, `(N,)` in [0, 1].
        correct: whether it was right, `(N,)` bool.
        num_bins: bins of equal width.
    """
    bins = (confidences * num_bins).long().clamp(max=num_bins - 1)
    gaps = torch.zeros(num_bins, dtype=torch.double)
    gaps.index_add_(0, bins, confidences.double() - correct.double())
    return (gaps.abs().sum() / len(confidences)).item()


def confusion_figure(names: list[str], confusion: Tensor) -> Figure:
    """The counts as a picture; colours show shares of the true class, so rare classes are seen."""
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    side = max(4.5, 0.5 * len(names) + 1.5)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    turned = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 3 else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(names) <= 20:  # beyond that the numbers no longer fit into their squares
        for row, column in confusion.nonzero().tolist():
            axes.text(
                column,
                row,
                confusion[row, column].item(),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[row, column] > 0.5 else "black",
            )
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def mistakes_figure(pictures: list[Tensor], titles: list[str]) -> Figure:
    """Pictures `(1 or 3, H, W)` in [0, 1], each below its title."""
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(1.7 * columns + 0.3, 2.0 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for place, picture, title in zip(axes, pictures, titles):
        picture = picture.permute(1, 2, 0).numpy()
        place.imshow(picture[..., 0] if picture.shape[2] == 1 else picture, "gray", vmin=0, vmax=1)
        place.set_title(title, fontsize=8)
    for place in figure.axes:  # the empty ones, too
        place.axis("off")
    return figure
