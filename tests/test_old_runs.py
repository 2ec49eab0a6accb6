"""Runs of every released version are listed, evaluated and compared, and go on.

Those of 0.4.0 are in test_golden.py.
"""

from __future__ import annotations

import re
import shutil
import tarfile

import pytest
from helpers import FIXTURES, read

LATER = "with resume=MNISTModel/1 trainer_args.max_epochs=3"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with tarfile.open(FIXTURES / "runs-0.1.0-to-0.3.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project()


@pytest.fixture(params=["0.1.0", "0.2.0", "0.3.0"])
def run(request, unpacked, project, forks, tmp_path):
    """Runs a command of today's project over the runs of a version: words -> what was printed."""
    cwd = tmp_path / "runs"
    shutil.copytree(unpacked / request.param, cwd)

    def run(words: str, cwd=cwd):
        return forks.run(project, *words.split(), cwd=cwd)

    run.folder = cwd / "model_data" / "MNISTModel"
    return run


def rows(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines() if line.startswith("MNISTModel/")]


def test_they_are_listed_evaluated_compared_and_cleaned(run):
    first, second = rows(run("evaluate runs"))
    assert first[:4] == ["MNISTModel/1", "MNISTDataset", "COMPLETED", "2"]
    assert first[6:8] == ["test_accuracy", f"{results(run, 1, 1)['test_accuracy']:.4f}"]
    assert second[2] == "INTERRUPTED"
    run("evaluate with run=1")
    for name in ("test_accuracy", "test_loss"):
        assert results(run, 1, 2)[name] == pytest.approx(results(run, 1, 1)[name], rel=1e-4)
    assert "1 trial runs passed over" in run("evaluate with runs=all")
    run("evaluate with run=2")
    assert "test_accuracy: MNISTModel/2 - MNISTModel/1" in run("evaluate compare with runs=[1,2]")
    assert "MNISTModel/1/checkpoints/last.ckpt" in run("evaluate clean")


def results(run, number: int, evaluation: int) -> dict[str, float]:
    return read(run.folder / str(number) / "evaluations" / str(evaluation) / "results.json")


def test_a_finished_one_goes_on_and_its_evaluation_is_out_of_date(run):
    before = results(run, 1, 1)["test_accuracy"]
    printed = run(f"train {LATER}")
    assert "resume MNISTModel/1 from last.ckpt, step 10" in printed
    assert "not to the same bits" in printed
    assert f"test_accuracy {before:.4f} (out of date)" in run("evaluate runs")
    run("evaluate with run=1")  # by number: the runs of the fixture are trial runs
    assert "out of date" not in run("evaluate runs")


def test_one_that_was_stopped_within_an_epoch_goes_on(run):
    begun = len(read(run.folder / "2" / "metrics.json")["val_loss"]["values"])
    printed = run(f"train with resume=MNISTModel/2 trainer_args.max_epochs={begun + 2}")
    assert "resume MNISTModel/2 from last.ckpt" in printed
    metrics = read(run.folder / "2" / "metrics.json")
    assert metrics["epoch"]["values"][-2:] == [begun + 1, begun + 2]
    losses = metrics["train_loss"]["values"][-2:]
    assert losses[0] != losses[1]  # what 0.2.0 had summed up stood in the way of both


def test_one_is_reproduced(run, project, forks):
    assert forks(project, run.folder.parent.parent, ["train", "reproduce", "with", "run=1"]) in (
        0,
        1,
    )
    printed = (run.folder.parent.parent / "log.txt").read_text()
    assert re.search(
        "identical: weights and metrics are those of|different from MNISTModel/1", printed
    )
    assert "sources: " in printed
