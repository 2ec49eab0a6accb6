"""Runs that were to show that something runs are never `last`, `best` or `all`; `best` is fair."""

from __future__ import annotations

import pytest
from helpers import read
from tiny import plug_ins, words

MODELS = """
class Plain(Base):
    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))
"""
COUNT = """
from . import Evaluator


class Count(Evaluator):
    def evaluate(self, model, dataset):
        return {"examples": float(len(dataset))}
"""
EVALUATE = ["evaluate", "with", "evaluator_name=Count", "model_name=Plain"]
TRIALS = {
    "limit_train_batches=2": "limit_train_batches=2",
    "limit_val_batches=0.5": "limit_val_batches=0.5",
    "overfit_batches=1": "overfit_batches=1",
    "fast_dev_run=True": "fast_dev_run=True",
}
WHOLE = ["limit_train_batches=3", "limit_train_batches=1.0", "limit_val_batches=100"]


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project({**plug_ins(MODELS), "evaluators/count.py": COUNT})


@pytest.fixture
def run(project, forks, tmp_path):
    """Types a command that succeeds -> what it printed."""

    def run(*typed):
        return forks.run(project, *typed, cwd=tmp_path)

    run.refused = lambda *typed: (
        forks(project, tmp_path, typed) == 1,
        (tmp_path / "log.txt").read_text().splitlines()[-1],
    )
    return run


@pytest.mark.parametrize("setting", TRIALS)
def test_a_trial_run_is_passed_over_and_works_by_number(run, tmp_path, setting):
    trial = words("Plain", f"trainer_args.{setting}")
    run(*trial)
    is_refused, line = run.refused(*EVALUATE)
    assert is_refused
    assert line.endswith("ask for it by name, run=Plain/1")
    assert f"trainer_args.{TRIALS[setting]}" in line
    assert "1 trial runs passed over" in run(*EVALUATE, "runs=all")
    assert not (tmp_path / "model_data/Plain/1/evaluations").exists()
    if setting != "fast_dev_run=True":  # which leaves no checkpoint
        assert "Plain/1" in run(*EVALUATE, "run=1")
    run(*words("Plain"))
    run(*trial)
    for word in ("last", "best"):
        assert "run    Plain/2 (COMPLETED)" in run(*EVALUATE, f"run={word}")


@pytest.mark.parametrize("setting", WHOLE)
def test_a_limit_that_leaves_out_nothing_makes_no_trial(run, setting):
    run(*words("Plain", f"trainer_args.{setting}"))
    assert "run    Plain/1 (COMPLETED)" in run(*EVALUATE)


def test_presets_make_trials(run):
    for preset in ("debug", "overfit", "profile"):
        run(*words("Plain", preset, "trainer_args.max_epochs=1"))
    is_refused, line = run.refused(*EVALUATE)
    assert is_refused
    assert "Plain/3 (profile)" in line


def test_resume_last_passes_over_trials(run, tmp_path):
    run(*words("Plain"))
    run(*words("Plain", "trainer_args.limit_train_batches=1"))
    run("train", "with", "resume=last", "trainer_args.max_epochs=4")
    assert len(read(tmp_path / "model_data/Plain/1/run.json")["attempts"]) == 2


def test_best_is_the_best_on_the_same_data(run):
    run(*words("Plain", "dataset_args.size=4"))  # val_loss 11.5
    run(*words("Plain", "dataset_args.size=8"))  # 13.5
    run(*words("Plain", "dataset_args.size=8", "seed=3"))
    assert "run    Plain/2" in run(*EVALUATE, "run=best")
