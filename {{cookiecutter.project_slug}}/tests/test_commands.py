"""`train` and `evaluate` from the command line, with what the two config files name."""

from __future__ import annotations

import json

import pytest
from plug_ins import CONFIG, configured, offline, splits

SMALL = [f"trainer_args.{name}=1" for name in ("max_epochs", "log_every_n_steps")]
SMALL += [f"trainer_args.limit_{part}_batches=1" for part in ("train", "val")]


@pytest.mark.slow
def test_trains_and_evaluates(run, tmp_path):
    dataset = configured("datasets", CONFIG["dataset_name"])
    if isinstance(splits(dataset), str):
        pytest.skip(splits(dataset))
    words = [f"dataset_args.{name}={value}" for name, value in offline(dataset).items()]
    trained = run("train", *SMALL, *words)
    assert trained.status == 0, trained.output
    folder = tmp_path / CONFIG["model_name"] / "1"
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert (folder / "checkpoints" / "last.ckpt").is_file()

    evaluated = run("evaluate", "run=1")  # `last` passes over trial runs
    assert evaluated.status == 0, evaluated.output
    assert json.loads((folder / "evaluations" / "1" / "results.json").read_text())


def test_a_typo_never_trains(run, tmp_path):
    for word, hint in (
        ("trainer_args.max_epoch=1", "did you mean 'max_epochs'?"),
        ("sed=1", "did you mean 'seed'?"),
        ("seed=3.5", "it takes int"),
        ("model_name=Nothing", "is unknown"),
    ):
        refused = run("train", *SMALL, word)
        assert refused.status == 1, word
        assert hint in refused.output, word
        assert len(refused.output.strip().splitlines()) == 1, refused.output
    assert not list(tmp_path.iterdir())
