"""What a record says stays true: of evaluations, queued runs, renamed folders, data and sources."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil

import pytest
from helpers import read, tree_module

# A model that a text trains and breaks, and a dataset whose files lie in folders.
TINY = """
import os

import pytorch_lightning as pl
import torch
import torch.nn.functional as F


class Tiny(pl.LightningModule):
    def __init__(self, num_classes: int, breaks: str = "", goes_to: str = ""):
        super().__init__()
        self.save_hyperparameters()
        if breaks and os.environ.get("BREAKS"):
            raise {"key": KeyError, "type": TypeError, "exit": SystemExit}[breaks]("no luck")
        if goes_to:
            os.chdir(goes_to)
        self.layer = torch.nn.Linear(2, num_classes)

    def forward(self, inputs):
        return self.layer(inputs)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return F.cross_entropy(self(inputs), targets)

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        self.log("val_loss", F.cross_entropy(self(inputs), targets))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.5)
"""
FOLDERS = """
import os
from pathlib import Path

import torch

from . import SplitDataset


class Folders(SplitDataset):
    num_classes = 2
    class_names = ["=1+1", "\\x1b[31mred\\nline"]

    def __init__(self, split: str, data_dir: str = "data"):
        if split == "test" and os.environ.get("BREAKS") == "data":
            raise KeyError("test")
        self.paths = [Path(data_dir, name, "rows.txt") for name in ("a", "b")]
        rows = [[float(x) for x in path.read_text().split()] for path in self.paths]
        self.inputs = torch.tensor([[x, 1 - x] for row in rows for x in row])
        self.targets = torch.tensor([i for i, row in enumerate(rows) for _ in row])

    def __len__(self):
        return len(self.targets)

    def __getitems__(self, indices):
        return self.inputs[indices], self.targets[indices]

    def files(self):
        return self.paths
"""
TRAIN = "train with model_name=Tiny dataset_name=Folders trainer_args.max_epochs=1"


@pytest.fixture(scope="module")
def own(copy_project):
    return copy_project({"models/tiny.py": TINY, "datasets/folders.py": FOLDERS})


@pytest.fixture
def run(own, forks, tmp_path, monkeypatch):
    """Runs a command in a folder with data: words -> what it printed; `status` is as expected."""
    for name, rows in (("a", "0.1 0.2 0.3"), ("b", "0.7 0.8 0.9")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "rows.txt").write_text(rows)

    def run(words: str, status: int = 0, cwd=tmp_path, project=own) -> str:
        log = cwd / "log.txt"
        before = log.stat().st_size if log.exists() else 0
        got = forks(project, cwd, words.split())
        printed = log.read_bytes()[before:].decode()
        assert got == status, printed
        assert "Traceback" not in printed, printed
        return printed

    run.folder = tmp_path
    run.runs = tmp_path / "model_data" / "Tiny"
    return run


def row(printed: str, name: str) -> str:
    return next(line for line in printed.splitlines() if line.startswith(name))


# -- Evaluations belong to a checkpoint -----------------------------------------------------------


def test_an_evaluation_is_out_of_date_when_its_checkpoint_has_been_replaced(run):
    for seed in (1, 2):
        run(f"{TRAIN} seed={seed}")
    run("evaluate with runs=all")
    assert "out of date" not in run("evaluate runs") + run(
        "evaluate compare with runs=[Tiny/1,Tiny/2]"
    )
    run("train with resume=Tiny/1 trainer_args.max_epochs=8")
    listed = run("evaluate runs")
    assert "(out of date)" in row(listed, "Tiny/1")
    assert "(out of date)" not in row(listed, "Tiny/2")
    compared = run("evaluate compare with runs=[Tiny/1,Tiny/2]")
    assert row(compared, "test_loss").count("(out of date)") == 1
    assert "no interval, because the evaluation of Tiny/1 is out of date" in compared
    ordered = run("evaluate runs with sort=test_loss").splitlines()
    assert ordered[-1].startswith("Tiny/1")  # it has no such value now
    said = run("evaluate with runs=all")
    assert "done   1 runs evaluated by ClassificationReport, 0 refused" in said
    assert "run    Tiny/1" in said
    assert "out of date" not in run("evaluate runs") + run(
        "evaluate compare with runs=[Tiny/1,Tiny/2]"
    )


def test_a_mean_over_seeds_is_of_evaluations_that_are_current(run):
    for seed in (1, 2, 3):
        run(f"{TRAIN} seed={seed}")
    run("evaluate with runs=all")
    # As the same run with more epochs would leave it.
    os.replace(run.runs / "2/checkpoints/best.ckpt", run.runs / "1/checkpoints/best.ckpt")
    shutil.copy(run.runs / "1/checkpoints/best.ckpt", run.runs / "2/checkpoints/best.ckpt")
    compared = run("evaluate compare with runs=all")
    assert re.search(r"\+- \S+ \(2\), 1 out of date$", row(compared, "test_loss"))


def test_a_copied_run_and_a_cleaned_one_keep_their_evaluations(run):
    run(TRAIN)
    run("evaluate with run=Tiny/1")
    run(f"evaluate with checkpoint_path={run.runs}/1/checkpoints/last.ckpt")
    shutil.copytree(run.runs / "1", run.runs / "2", copy_function=shutil.copyfile)
    (run.runs / "1/checkpoints/last.ckpt").unlink()  # as `evaluate clean` does
    assert "out of date" not in run("evaluate runs")


def test_an_evaluation_of_another_checkpoint_does_not_count_for_the_best(run):
    run(TRAIN)
    run(f"evaluate with checkpoint_path={run.runs}/1/checkpoints/last.ckpt")
    assert "done   1 runs evaluated" in run("evaluate with runs=all")


# -- A run that cannot be evaluated ---------------------------------------------------------------


@pytest.fixture
def breaking(monkeypatch, own, tmp_path):
    """Runs installed-like commands with BREAKS set in their environment."""

    def evaluate(breaks: str):
        words = ["evaluate", "with", "runs=all"]
        return own.module(*words, cwd=tmp_path, check=False, BREAKS=breaks)

    return evaluate


def test_runs_that_cannot_be_evaluated_stop_no_other(run, breaking):
    for breaks in ("", "key", "type", "exit", "", "", ""):
        run(f"{TRAIN} model_args.breaks={breaks or repr('')}")
    (run.runs / "5/checkpoints/best.ckpt").write_bytes(b"PK")
    config = read(run.runs / "6/config.json") | {"model_name": "Gone"}
    (run.runs / "6/config.json").write_text(json.dumps(config))
    (run.runs / "7/run.json").write_text("{")
    done = breaking("model")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    for number, why in ((2, "KeyError"), (3, "TypeError"), (4, "SystemExit"), (5, "is damaged")):
        line = row(done.stdout, f"Tiny/{number} is not evaluated: ")
        assert why in line
    assert "'Gone' is unknown" in row(done.stdout, "Tiny/6 is not evaluated: ")
    assert "7/run.json cannot be read" in row(done.stdout, "Tiny/7 is not evaluated: ")
    assert "done   1 runs evaluated by ClassificationReport, 6 refused" in done.stdout
    assert done.stdout.strip().endswith("UserError: 6 of 7 runs could not be evaluated")
    assert (run.runs / "1/evaluations/1/results.json").exists()


def test_a_bug_of_a_dataset_stops_no_other_run(run, breaking):
    run(TRAIN)
    run(TRAIN)
    done = breaking("data")
    assert done.returncode == 1
    assert done.stdout.count("is not evaluated: KeyError: 'test'") == 2
    assert "Traceback" not in done.stdout


# -- Sources of evaluations -----------------------------------------------------------------------


def test_an_evaluation_keeps_only_sources_that_are_not_its_runs(run, copy_project):
    project = copy_project({"models/tiny.py": TINY, "datasets/folders.py": FOLDERS})
    run(TRAIN, project=project)
    run("evaluate with run=Tiny/1", project=project)
    folder = run.runs / "1/evaluations/1"
    kept = read(folder / "run.json")["experiment"]
    trained = read(run.runs / "1/run.json")["experiment"]
    assert not (folder / "sources").exists()
    assert kept["sources"] == []
    assert kept["sources_sha256"] == kept["run_sources_sha256"] == trained["sources_sha256"]

    (project.package / "models/tiny.py").write_text(f"# edited\n{TINY}")
    (project.package / "util/new.py").write_text("x = 1\n")
    (project.package / "util/util.py").unlink()
    run("evaluate with run=Tiny/1", project=project)
    folder = run.runs / "1/evaluations/2"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    name = project.package.name
    assert files == [f"sources/{name}/models/tiny.py", f"sources/{name}/util/new.py"]
    assert (folder / files[0]).read_text().startswith("# edited")
    kept = read(folder / "run.json")["experiment"]
    assert kept["sources"] == [[file.removeprefix("sources/"), file] for file in files]
    assert kept["run_sources_gone"] == [f"{name}/util/util.py"]
    assert kept["run_sources_sha256"] == trained["sources_sha256"] != kept["sources_sha256"]


# -- Queued runs ----------------------------------------------------------------------------------


def test_a_queued_run_has_a_start_when_it_starts(run):
    said = run(f"{TRAIN} seed=3".replace("train", "train -q", 1))
    assert said == "queued Tiny/1: `train with resume=Tiny/1` starts it\n"
    assert "QUEUED" in row(run("evaluate runs"), "Tiny/1")
    assert "queue_time" in read(run.runs / "1/run.json")
    assert "there is nothing to clean" in run("evaluate clean with yes=True")
    run(f"{TRAIN} seed=4")
    queued = read(run.runs / "1/run.json")["queue_time"]
    run("train with resume=Tiny/1")
    record = read(run.runs / "1/run.json")
    assert record["status"] == "COMPLETED"
    assert record["start_time"] > queued
    assert [attempt["status"] for attempt in record["attempts"]] == ["COMPLETED"]
    assert record["attempts"][0]["start_time"] == record["start_time"]
    assert record["experiment"]["sources"]
    assert (run.runs / "1/sources").exists()
    listed = run("evaluate runs").splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["Tiny/2", "Tiny/1"]  # as they began
    assert read(run.runs / "1/config.json")["seed"] == 3
    refused = run("train -q with resume=Tiny/1 trainer_args.max_epochs=9", status=1)
    assert "only a new run is queued" in refused


def test_a_queued_run_whose_start_fails_is_queued_still(run):
    run(TRAIN.replace("train", "train -q", 1))
    (run.folder / "data/a/rows.txt").rename(run.folder / "rows.txt")
    run("train with resume=Tiny/1", status=1)
    assert "QUEUED" in row(run("evaluate runs"), "Tiny/1")
    (run.folder / "rows.txt").rename(run.folder / "data/a/rows.txt")
    run("train with resume=Tiny/1")
    attempts = read(run.runs / "1/run.json")["attempts"]
    assert [attempt["status"] for attempt in attempts] == ["FAILED", "COMPLETED"]


# -- Names ----------------------------------------------------------------------------------------


def test_a_renamed_folder_is_named_as_it_is_and_its_model_as_it_was(run):
    run(TRAIN)
    run("evaluate with run=Tiny/1")
    run.runs.rename(run.folder / "model_data/Other")
    listed = run("evaluate runs with model=Tiny")
    assert row(listed, "Other/1")
    assert "out of date" not in listed
    assert "run    Other/1 (COMPLETED)" in run("evaluate with run=Other/1")
    assert "arguments of Tiny (" in run("evaluate help model_args with run=Other/1")
    assert "done   0 runs evaluated" in run("evaluate with runs=all")
    run("train with resume=Other/1 trainer_args.max_epochs=2")
    assert not run.runs.exists()
    (run.folder / "model_data").rename(run.folder / "moved")
    said = run("train with resume=Other/1 trainer_args.max_epochs=3 log_dir=moved")
    assert "run    Other/1, stored in moved/Other/1" in said
    assert "done   0 runs evaluated" not in run("evaluate with runs=all log_dir=moved")
    assert "identical: " in run("train reproduce with run=Other/1 log_dir=moved")
    run(f"{TRAIN} seed=9 log_dir=moved trainer_args.max_epochs=3")
    compared = run("evaluate compare with runs=[Other/1,Tiny/2] log_dir=moved")
    assert compared.split()[0].startswith("Other/1")


@pytest.mark.parametrize("where", ["model_data/Tiny/1", "model_data/Tiny/1/checkpoints", "data/a"])
def test_a_checkpoint_is_found_by_a_relative_path(run, where):
    run(TRAIN)
    cwd = run.folder / where
    path = os.path.relpath(run.runs / "1/checkpoints/last.ckpt", cwd)
    data = f"dataset_args.data_dir={run.folder}/data"
    said = run(f"evaluate with checkpoint_path={path} {data}", cwd=cwd)
    assert "run    Tiny/1 (COMPLETED), last.ckpt" in said
    assert read(run.runs / "1/evaluations/1/info.json")["checkpoint"] == "checkpoints/last.ckpt"
    said = run(f"train with resume={path} trainer_args.max_epochs=2 {data}", cwd=cwd)
    assert "resume Tiny/1 from last.ckpt" in said
    assert read(run.runs / "1/run.json")["status"] == "COMPLETED"
    assert len(read(run.runs / "1/run.json")["attempts"]) == 2


def test_a_checkpoint_that_is_a_link_belongs_to_the_run_where_it_lies(run):
    run(TRAIN)
    (run.folder / "big disk").mkdir()
    best = run.runs / "1/checkpoints/best.ckpt"
    best.rename(run.folder / "big disk/best.ckpt")
    best.symlink_to(run.folder / "big disk/best.ckpt")
    (run.folder / "short.ckpt").symlink_to(best)
    for path in ("model_data/Tiny/1/checkpoints/best.ckpt",):
        assert "run    Tiny/1" in run(f"evaluate with checkpoint_path={path}")


def test_a_run_is_written_where_it_began_wherever_its_code_goes(run):
    (run.folder / "elsewhere").mkdir()
    data = f"dataset_args.data_dir={run.folder}/data"
    said = run(f"{TRAIN} model_args.goes_to={run.folder}/elsewhere {data}")
    assert f"stored in {run.runs}/1" in said
    assert not list((run.folder / "elsewhere").rglob("*.json*"))
    assert (run.runs / "1/metrics.jsonl").exists()
    assert (run.runs / "1/checkpoints/best.ckpt").exists()
    run("train with resume=Tiny/1 trainer_args.max_epochs=2")
    assert len(read(run.runs / "1/run.json")["attempts"]) == 2
    assert read(run.runs / "1/run.json")["status"] == "COMPLETED"


# -- Fingerprints ---------------------------------------------------------------------------------


def test_files_of_one_name_are_told_apart_by_their_folders(run):
    run(TRAIN)
    one, other = (run.folder / "data" / name / "rows.txt" for name in "ab")
    kept = read(run.runs / "1/info.json")["fingerprint"]
    assert kept.keys() == {"a/rows.txt", "b/rows.txt"}
    same = run("train with resume=Tiny/1 trainer_args.max_epochs=2")
    assert "the data is not that which" not in same
    text = one.read_text()
    one.write_text(other.read_text())
    other.write_text(text)
    swapped = run("train with resume=Tiny/1 trainer_args.max_epochs=3")
    assert "the data is not that which Tiny/1 began with" in swapped


def test_fingerprints_of_0_4_0_are_compared_in_their_form(run):
    run(TRAIN)
    info = read(run.runs / "1/info.json")
    last = info["fingerprint"]["b/rows.txt"]
    (run.runs / "1/info.json").write_text(json.dumps(info | {"fingerprint": {"rows.txt": last}}))
    assert "the data is not that" not in run("train with resume=Tiny/1 trainer_args.max_epochs=2")
    assert "data: " not in run("train reproduce with run=Tiny/1")
    (run.folder / "data/b/rows.txt").write_text("1 2 3")
    assert "the data is not that" in run("train with resume=Tiny/1 trainer_args.max_epochs=3")


def test_a_copy_of_the_data_elsewhere_is_the_same(tmp_path):
    provenance = tree_module("engine.runs.provenance")
    hashes = []
    for root in ("one", "other/deeper"):
        files = [tmp_path / root / name for name in ("a/x", "a/y", "b/x")]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(file.relative_to(tmp_path / root)))
        hashes.append(provenance.fingerprint(files))
    assert hashes[0] == hashes[1]
    assert list(provenance.fingerprint([tmp_path / "one/a/x"])) == ["x"]
    assert provenance.fingerprint([]) == {}


# -- Text from files ------------------------------------------------------------------------------


def test_names_of_classes_are_text_in_the_terminal_and_in_tables(run):
    run(TRAIN)
    printed = run("evaluate with run=Tiny/1")
    assert "\x1b" not in printed
    assert "\\x1b[31mred\\nline" in printed
    with (run.runs / "1/evaluations/1/per_class.csv").open(newline="") as file:
        names = [line[0] for line in csv.reader(file)]
    assert names == ["class", "'=1+1", "\x1b[31mred\nline"]
