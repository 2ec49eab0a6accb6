"""One evaluation: the evaluator, its results, and what is written of them."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule

from ..config.checks import check_needs
from ..config.signatures import complete
from ..contracts import Evaluator, SplitDataset, describe, files_of
from ..errors import refusals
from ..plugins import load
from ..runs.evaluations import checkpoint_record
from ..runs.files import plain, write_json
from ..runs.provenance import fingerprint
from ..runs.stored import Run
from .csv_files import write_columns, write_rows
from .figures import draw_figures


def make_evaluator(name: str, values: dict[str, Any]) -> Evaluator:
    """The configured evaluator.

    Raises:
        UserError: there is no such class, or it refuses its arguments.
    """
    cls: type[Evaluator] = load("evaluator", name)
    with refusals(f"evaluator_args: {name}"):
        return cls(**complete("evaluator_args", cls, values))


def evaluation_record(
    run: Run, checkpoint: Path, dataset: SplitDataset, dataset_args: dict[str, Any]
) -> dict[str, Any]:
    """What info.json says of an evaluation: what was evaluated, and on which data."""
    return plain(
        run=run.name,
        **checkpoint_record(checkpoint),
        dataset_args=dataset_args,
        data=describe(dataset),
        fingerprint=fingerprint(files_of(dataset)),
    )


def measure(
    evaluator: Evaluator, model: LightningModule, dataset: SplitDataset, folder: Path | None
) -> dict[str, float]:
    """Evaluates in inference mode; writes results into the folder, if there is one, then draws.

    Returns:
        Name of each result and its value, in the evaluator's order.

    Raises:
        UserError: model or dataset have not what the evaluator needs.
    """
    check_needs(evaluator, model, dataset)
    with contextlib.ExitStack() as stack:
        evaluator.folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(torch.inference_mode())
        results = evaluator.evaluate(model, dataset)
    results = {key: float(value) for key, value in results.items()}
    if folder:
        if evaluator.per_example:
            write_columns(folder / "per_example.csv", evaluator.per_example)
        for name, rows in evaluator.tables.items():
            write_rows(folder / name, rows)
        write_json(folder / "results.json", results)
        draw_figures(evaluator.figures, folder)
    return results
