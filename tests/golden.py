"""Losses of a fixed seed, to the last digit, of three starters: a refactor may not move one bit.

    python tests/golden.py [TEMPLATE]

records them in tests/golden.json, from this checkout or another one. test_golden.py compares.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter
from helpers import TEMPLATE, Project, answers

GOLDEN = TEMPLATE / "tests" / "golden.json"
CASES = {  # starters -> what `train with` is told, so that it takes seconds
    ("mnist", "mnist_classifier", "classification_report"): "dataset_args.source=sample",
    ("text", "gpt", "language_report"): (
        "trainer_args.max_epochs=2 trainer_args.limit_train_batches=12 "
        "trainer_args.limit_val_batches=2"
    ),
    ("time_series", "dlinear", "forecast_report"): "trainer_args.max_epochs=5",
}


def losses(template: Path, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Stamps each case from `template` into `folder` and trains it: starter -> metric -> values."""
    found = {}
    for triple, words in CASES.items():
        context = answers(triple) | {"project_slug": triple[1].replace("_", "-")}
        path = cookiecutter(
            str(template), no_input=True, extra_context=context, output_dir=str(folder)
        )
        Project(Path(path)).module("train", "with", *words.split(), cwd=Path(path))
        (metrics,) = Path(path).glob("model_data/*/1/metrics.json")
        found[triple[1]] = {
            name: entry["values"]
            for name, entry in sorted(json.loads(metrics.read_text()).items())
            if not name.startswith("epoch")
        }
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        template = Path(sys.argv[1]) if len(sys.argv) > 1 else TEMPLATE
        text = json.dumps(losses(template, Path(folder)), indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
