"""`train` and `evaluate` from the command line."""

from __future__ import annotations

import json


def test_trains_and_evaluates(run, defaults):
    trained = run("train", "with", "debug")
    assert trained.status == 0, trained.output
    folder = trained.folder / "model_data" / defaults["model_name"] / "1"
    assert json.loads((folder / "run.json").read_text())["status"] == "COMPLETED"
    assert (folder / "checkpoints" / "best.ckpt").is_file()

    evaluated = run("evaluate")
    assert evaluated.status == 0, evaluated.output
    results = json.loads((folder / "evaluations" / "1" / "results.json").read_text())
    assert results
    assert "Warning" not in trained.output + evaluated.output


def test_a_typo_never_trains(run):
    for word, hint in (
        ("trainer_args.max_epoch=1", "did you mean 'max_epochs'?"),
        ("sed=1", "did you mean 'seed'?"),
        ("seed=3.5", "it takes int"),
        ("model_name=Nothing", "is unknown"),
    ):
        refused = run("train", "with", "debug", word)
        assert refused.status == 1, word
        assert hint in refused.output, word
        assert len(refused.output.strip().splitlines()) == 1, refused.output
    assert not (refused.folder / "model_data").exists()
