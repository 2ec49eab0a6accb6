"""How well a classifier classifies, and how well it knows."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from ..engine.errors import UserError, printable
from . import Evaluator


class Classes(Protocol):
    """Examples (inputs, targets) whose targets are 0..num_classes-1; may have `class_names`."""

    num_classes: int


class ClassificationReport(Evaluator):
    """Accuracy, loss, calibration error; precision, recall and F1 of each class; the mistakes.

    For models that map a batch to logits `(B, num_classes)`. Writes `per_class.csv`,
    `confusion_matrix.png`, `mistakes.csv` with the mistakes, the most confident ones first, and
    `mistakes.png` with some of them where the inputs are pictures, `(1 or 3, H, W)` in [0, 1].

    Args:
        batch_size: examples at a time; changes speed and memory, not results.
        num_bins: bins of confidence for the calibration error, of equal width (ECE: Guo et al.
            2017, arXiv:1706.04599, equation 3).
        num_pictures: mistakes in the picture, at most.
    """

    def __init__(self, batch_size: int = 512, num_bins: int = 15, num_pictures: int = 24):
        self.check_sizes(batch_size=batch_size, num_bins=num_bins, num_pictures=num_pictures)
        self.batch_size, self.num_bins, self.num_pictures = batch_size, num_bins, num_pictures

    def evaluate(self, model: LightningModule, dataset: Classes) -> dict[str, float]:
        """Returns `test_accuracy` and others in [0, 1], and `test_loss` in nats per example.

        The accuracy of other test sets like this one is between `test_accuracy_low` and
        `test_accuracy_high` 95 times of 100 (bootstrap; Efron 1979, percentiles).
        """
        if not dataset.num_classes:
            raise UserError(
                f"evaluator_name: {type(self).__name__} needs classes, and what "
                f"{type(dataset).__name__} has to be predicted is none (see its dataset_args)"
            )
        logits, targets = self.predictions(model, dataset, self.batch_size)
        probabilities = logits.softmax(1)
        confidences, preds = probabilities.max(1)
        correct = (preds == targets).double()
        losses = F.cross_entropy(logits.double(), targets, reduction="none")
        self.per_example = {"test_accuracy": correct.tolist(), "test_loss": losses.tolist()}
        classes = int(dataset.num_classes)  # torchmetrics takes no number of numpy
        precision, recall, f1 = class_scores(preds, targets, classes, "macro").tolist()
        results = {
            "test_accuracy": correct.mean().item(),
            **bootstrap_interval("test_accuracy", correct),
            "test_loss": losses.mean().item(),
            "test_precision": precision,
            "test_recall": recall,
            "test_f1": f1,
            "test_calibration_error": calibration_error(probabilities, targets, self.num_bins),
            "baseline_accuracy": targets.bincount().max().item() / len(targets),
        }
        names = getattr(dataset, "class_names", None) or list(map(str, range(classes)))
        self._add_classes(names, preds, targets, (precision, recall, f1))
        self._add_mistakes(names, dataset, confidences, preds, targets)
        return results

    def _add_classes(self, names, preds, targets, means) -> None:
        """Prints the scores of each class, and hands them over with the confusion matrix."""
        scores = class_scores(preds, targets, len(names), "none").tolist()
        confusion = multiclass_confusion_matrix(preds, targets, len(names))  # rows: true classes
        examples = confusion.sum(1).tolist()
        rows = [(name, *row, n) for name, row, n in zip(names, scores, examples, strict=True)]
        shown = [printable(name.replace("\n", "\\n")) for name in names]
        width = max(len("class"), *map(len, shown))
        print(f"{'class':>{width}}  precision  recall      F1  examples")
        last = ("mean", *means, len(targets))
        for name, (_, precision, recall, f1, n) in zip(
            [*shown, "mean"], [*rows, last], strict=True
        ):
            print(f"{name:>{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {n:8d}")
        print()
        self.add_table("per_class.csv", ("class", "precision", "recall", "f1", "examples"), rows)
        self.add_figure("confusion_matrix.png", confusion_figure, shown, confusion)

    def _add_mistakes(self, names, dataset, confidences, preds, targets) -> None:
        wrong = (preds != targets).nonzero().squeeze(1)
        wrong = wrong[confidences[wrong].argsort(descending=True, stable=True)].tolist()
        rows = [(i, names[targets[i]], names[preds[i]], confidences[i].item()) for i in wrong]
        self.add_table("mistakes.csv", ("example", "true", "predicted", "confidence"), rows)
        rows = rows[: self.num_pictures]
        pictures = [dataset[row[0]][0] for row in rows]
        if pictures and pictures[0].dim() == 3 and len(pictures[0]) in (1, 3):
            titles = [f"{true}, not {pred}\n{share:.1%} sure" for _, true, pred, share in rows]
            self.add_figure("mistakes.png", mistakes_figure, pictures, titles)


def bootstrap_interval(name: str, correct: Tensor, draws: int = 10_000) -> dict[str, float]:
    """Between what 95 percent of the means lie when examples `(N,)` are drawn again and again.

    How many of N draws are right is a binomial number, which spares drawing them one by one.
    """
    size, share = len(correct), correct.mean().item()
    means = np.random.default_rng(0).binomial(size, share, draws) / size
    low, high = np.percentile(means, (2.5, 97.5))
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def class_scores(
    preds: Tensor, targets: Tensor, num_classes: int, average: Literal["macro", "none"]
) -> Tensor:
    """Precision, recall and F1 of predicted and true classes `(N,)`.

    Args:
        preds: predicted classes.
        targets: true classes.
        num_classes: C.
        average: "none": `(C, 3)`, one row a class, where one that is never predicted, or never
            occurs, scores 0. "macro": `(3,)`, the means over the classes that are there.
    """
    metrics = (multiclass_precision, multiclass_recall, multiclass_f1_score)
    return torch.stack([m(preds, targets, num_classes, average) for m in metrics], dim=-1)


def calibration_error(probabilities: Tensor, targets: Tensor, num_bins: int) -> float:
    """Mean distance between confidence and accuracy over bins, weighted by their examples.

    Args:
        probabilities: `(N, C)`.
        targets: `(N,)`.
        num_bins: bins of equal width.
    """
    # torchmetrics 1.9 gives a confidence of exactly 1 a bin of its own; in Guo et al. the last
    # bin includes it.
    below_one = probabilities.double().clamp(max=1 - 1e-12)
    classes = probabilities.shape[1]
    return multiclass_calibration_error(below_one, targets, classes, num_bins, "l1").item()


def confusion_figure(names: list[str], confusion: Tensor) -> Figure:
    """The counts as a picture; colours show shares of the true class, so rare classes are seen."""
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    side = max(4.5, 0.5 * len(names) + 1.5)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 3 else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(names) <= 20:  # beyond that the numbers no longer fit into their squares
        for row, column in confusion.nonzero().tolist():
            axes.text(
                column,
                row,
                str(confusion[row, column].item()),
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
        pixels = picture.permute(1, 2, 0).numpy()
        place.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, "gray", vmin=0, vmax=1)
        place.set_title(title, fontsize=8)
    for place in figure.axes:  # the empty ones, too
        place.axis("off")
    return figure
