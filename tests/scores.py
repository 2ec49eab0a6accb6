"""Trains each combination that works offline with three seeds, as `train` without arguments does.

    make scores [DATA=folder of the four official MNIST files]

Prints the rows of the README's table and writes every number to `scores.json`; what is there
already is left as it is. With DATA, MNIST is measured on the full set as well. What one evaluator
of each kind draws or writes is copied into `results/`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter
from helpers import SIDECARS, TEMPLATE, TRIPLES, answers, install, read

OFFLINE = ("mnist", "csv", "text", "time_series", "custom")
SEEDS = (1, 2, 3)
PICTURES = {  # for the README, one of each evaluator
    ("mnist", "cnn", "classification_report"): "mistakes.png",
    ("csv", "tabular_mlp", "regression_report"): "predictions.png",
    ("mnist", "vae", "reconstruction_report"): "reconstructions.png",
    ("text", "lstm", "language_report"): "generated.txt",
    ("time_series", "tcn", "forecast_report"): "forecasts.png",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the official MNIST files")
    data = parser.parse_args().data
    file = TEMPLATE / "scores.json"
    done = read(file) if file.exists() else {}
    sources = {"mnist": ["sample", "full"] if data else ["sample"]}
    with tempfile.TemporaryDirectory() as folder:
        for triple in TRIPLES:
            for source in sources.get(triple[0], [""]) if triple[0] in OFFLINE else []:
                key = " ".join([*triple, source]).strip()
                if key not in done:
                    words = ["dataset_args.source=sample"] if source == "sample" else []
                    if source == "full":
                        words = [f"dataset_args.data_dir={data.resolve()}"]
                    done[key] = measure(triple, words, Path(folder, key.replace(" ", "-")))
                    file.write_text(json.dumps(done, indent=1) + "\n")
                print(row(key, done[key]), flush=True)


def measure(triple: tuple[str, str, str], words: list[str], folder: Path) -> dict:
    """Results and seconds of each seed, for one combination."""
    context = answers(triple) | {"project_slug": "project"}
    path = cookiecutter(str(TEMPLATE), no_input=True, extra_context=context, output_dir=str(folder))
    project = install(Path(path), folder / "env")
    results, seconds = [], []
    for seed in SEEDS:
        started = time.monotonic()
        command = ["with", f"seed={seed}", *words]
        project("train", *command, cwd=folder)
        seconds.append(time.monotonic() - started)
        project("evaluate", cwd=folder)
        (run,) = folder.glob(f"model_data/*/{seed}")
        results.append(read(run / "evaluations" / "1" / "results.json"))
    if name := PICTURES.get(triple):
        (TEMPLATE / "results").mkdir(exist_ok=True)
        picture = TEMPLATE / "results" / f"{triple[2]}{Path(name).suffix}"
        shutil.copyfile(run / "evaluations" / "1" / name, picture)
    return {"seconds": seconds, "results": results}


def row(key: str, measured: dict) -> str:
    evaluator = SIDECARS["evaluator"][key.split()[2]]
    scores, baselines = (
        [results[evaluator[name]] for results in measured["results"]]
        for name in ("score", "baseline")
    )
    mean, spread = statistics.mean(scores), statistics.stdev(scores)
    return (
        f"| {' | '.join(key.split())} | {evaluator['score']} {mean:.4f} ± {spread:.4f} "
        f"| {statistics.mean(baselines):.4f} | {statistics.median(measured['seconds']):.0f} s |"
    )


if __name__ == "__main__":
    main()
