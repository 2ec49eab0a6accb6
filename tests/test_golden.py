"""Losses are those of version 0.4.0, and what that version stored can still be used."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from golden import CASES, GOLDEN, losses
from helpers import FIXTURES, TEMPLATE, TREE, read

CHANGED = {"gpt"}  # on purpose: its warm-up ended in a jump of the learning rate


def test_losses_are_those_of_the_golden_file(old_template, tmp_path):
    """To the last bit those of 0.4.0, run beside it on this machine, but for what has CHANGED.

    The file itself is held to 1e-4: processors and builds of torch round differently.
    """
    golden = read(GOLDEN)
    (tmp_path / "now").mkdir()
    now = losses(TEMPLATE, tmp_path / "now")
    assert now.keys() == golden.keys() == {model for _, model, _ in CASES}
    for model, metrics in golden.items():
        assert now[model].keys() == metrics.keys()
        for name, values in metrics.items():
            assert now[model][name] == pytest.approx(values, rel=1e-4), (model, name)
    (tmp_path / "then").mkdir()
    then = losses(runnable(old_template, tmp_path / "old"), tmp_path / "then")
    for model in now.keys() - CHANGED:
        assert now[model] == then[model], model


def runnable(old_template: Path, folder: Path) -> Path:
    """A copy of the old template whose projects have what its sacred imports and others removed."""
    shutil.copytree(old_template, folder)
    sources = folder / TREE.name / "src"
    (sources / "pkg_resources.py").write_text(  # gone in setuptools 82
        "import importlib.util, pathlib\n\n\nclass Nothing(list):\n    by_key = {}\n\n\n"
        "working_set = Nothing()\n\n\n"
        "def resource_filename(package, name):\n"
        "    spec = importlib.util.find_spec(package)\n"
        "    return str(pathlib.Path(spec.origin).parent / name)\n"
    )
    (sources / "sitecustomize.py").write_text(  # gone in Python 3.14
        "import importlib.util, pkgutil\n\npkgutil.find_loader = importlib.util.find_spec\n"
    )
    return folder


@pytest.fixture(scope="module")
def old_runs(copy_project, tmp_path_factory):
    """Runs commands in a project of today that has the runs of 0.4.0."""
    folder = tmp_path_factory.mktemp("old-runs")
    project = copy_project()
    package = project.package
    package.rename(package.with_name("old_project"))  # what the recorded sources are called
    with tarfile.open(FIXTURES / "runs-0.4.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")

    def run(*words: str, check: bool = True) -> str:
        return project.module(*words, cwd=folder, check=check).stdout

    run.folder = folder / "model_data" / "MNISTModel"
    return run


def test_old_runs_are_listed_and_compared(old_runs):
    table = old_runs("evaluate", "runs", "with", "sort=val_loss").splitlines()
    assert [line.split()[0] for line in table] == ["run", *(f"MNISTModel/{i}" for i in (2, 3, 1))]
    assert "val_loss 1.9763  test_accuracy 0.2640" in table[1]
    compared = old_runs("evaluate", "compare", "with", "runs=[1,2]")
    row = next(line for line in compared.splitlines() if line.startswith("test_accuracy"))
    assert row.split(maxsplit=1)[1] == "0.2145 +- 0.0700 (2)"
    # Two seeds of one configuration are not compared example by example.
    assert "interval" not in compared
    compared = old_runs("evaluate", "compare", "with", "runs=1,3")
    assert "no interval, because MNISTModel/3 is not evaluated" in compared


def test_an_old_run_is_evaluated(old_runs):
    old_runs("evaluate", "with", "run=2")
    results = [read(old_runs.folder / f"2/evaluations/{n}/results.json") for n in (1, 2)]
    assert results[1] == pytest.approx(results[0], rel=1e-4)


def test_an_old_run_is_reproduced(old_runs):
    """On another processor the last bits may differ; then the machine is named."""
    said = old_runs("train", "reproduce", "with", "run=1", check=False)
    assert "identical: weights and metrics are those of MNISTModel/1" in said or "machine:" in said
    assert "sources: " in said


def test_an_old_run_goes_on_as_if_it_had_never_been_stopped(old_runs):
    said = old_runs("train", "with", "resume=MNISTModel/3")
    assert "resume MNISTModel/3 from last.ckpt, step 60" in said
    assert "has changed" in said  # its sources: they were those of 0.4.0
    config = read(old_runs.folder / "3/config.json")
    words = ["dataset_args.source=sample", "model_args.hidden_dimension=4", "seed=3"]
    words += ["trainer_args.limit_train_batches=20", "trainer_args.max_epochs=40"]
    old_runs("train", "with", *words)
    never_stopped = max(old_runs.folder.iterdir(), key=lambda p: int(p.name))
    assert read(never_stopped / "config.json")["trainer_args"] == config["trainer_args"]
    metrics = [read(run / "metrics.json") for run in (old_runs.folder / "3", never_stopped)]
    assert len(metrics[0]["val_loss"]["values"]) == 40
    for name in ("train_loss", "val_loss"):
        assert metrics[0][name]["values"] == pytest.approx(metrics[1][name]["values"], rel=1e-3)
    last = [run / "checkpoints" / "last.ckpt" for run in (old_runs.folder / "3", never_stopped)]
    states = [torch.load(path, weights_only=True)["state_dict"] for path in last]
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-5)
