"""A LightningDataModule is a dataset: trained on, evaluated, resumed, or refused in one line."""

from __future__ import annotations

import data_modules
import pytest
from helpers import read
from shaky import RESUME, differences, outcome

TRAIN = ["train", "with", "model_name=Linear", "trainer_args.max_epochs=3"]
TRAIN += ["callback_names=StopAt", "trainer_args.log_every_n_steps=1"]


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(data_modules.PLUG_INS)


@pytest.fixture(scope="module")
def command(project, forks, tmp_path_factory):
    """Runs a command in a folder that has a finished training; returns its status and output."""
    folder = tmp_path_factory.mktemp("blobs")

    def command(*words: str):
        log = folder / "log.txt"
        before = log.stat().st_size if log.exists() else 0
        status = forks(project, folder, words)
        return status, log.read_bytes()[before:].decode()

    command.folder = folder
    status, printed = command(*TRAIN, "dataset_name=Blobs")
    assert status == 0, printed
    return command


def refused(command, *words: str) -> str:
    before = sorted(command.folder.glob("model_data/*/*"))
    status, printed = command(*words)
    assert status == 1, printed
    assert len(printed.strip().splitlines()) == 1, printed
    assert sorted(command.folder.glob("model_data/*/*")) == before
    return printed


def test_its_attributes_arguments_and_files_are_those_of_the_run(command):
    run = command.folder / "model_data" / "Linear" / "1"
    info = read(run / "info.json")
    assert info["model_args"]["num_classes"] == 3
    assert info["dataset_args"] == {"data_dir": "blobs", "batch_size": 6, "num_workers": 0}
    assert list(info["fingerprint"]) == ["blobs.pt"]
    assert read(run / "config.json")["dataloader_args"] == {}  # those of the file are another's
    assert (command.folder / "blobs" / "prepared.txt").read_text() == "once\n"


def test_it_is_evaluated_on_its_own_test_loader(command):
    """By a shipped evaluator and by the model's own test_step: the same rows, the same number."""
    for name in ("ClassificationReport", "TestStep"):
        status, printed = command("evaluate", "with", "run=Linear/1", f"evaluator_name={name}")
        assert status == 0, printed
    folder = command.folder / "model_data" / "Linear" / "1" / "evaluations"
    report, own = (read(folder / number / "results.json") for number in ("1", "2"))
    assert own.keys() == {"test_accuracy_0"}
    assert own["test_accuracy_0"] == pytest.approx(report["test_accuracy"])
    assert len((folder / "1" / "per_example.csv").read_text().splitlines()) == 27


def test_rows_that_are_split_at_random_stay_in_their_split(command, project):
    """`random_split` in `setup` draws from the global generator, which is elsewhere each time."""
    code = """
from pathlib import Path

import torch
from pytorch_lightning import Callback


class Seen(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        with open("seen.txt", "a") as file:
            file.writelines(f"{x[0]:.6f}\\n" for x in batch[0])
"""
    (project.package / "callbacks" / "seen.py").write_text(code)
    evaluator = """
from . import Evaluator


class Rows(Evaluator):
    def evaluate(self, model, dataset):
        rows = [x for inputs, _ in self.batches(model, dataset, 1) for x in inputs]
        assert len(rows) == len(dataset) == 26
        assert all(x.equal(dataset[i][0]) for i, x in enumerate(rows))
        with open("tested.txt", "w") as file:
            file.writelines(f"{x[0]:.6f}\\n" for x in rows)
        return {"rows": len(rows)}
"""
    (project.package / "evaluators" / "rows.py").write_text(evaluator)
    words = ["train", "with", "model_name=Linear", "dataset_name=Shuffled", "callback_names=Seen"]
    assert command(*words, "trainer_args.max_epochs=1", "seed=7")[0] == 0
    assert command("evaluate", "with", "evaluator_name=Rows", "seed=3")[0] == 0
    trained, tested = (
        set((command.folder / name).read_text().split()) for name in ("seen.txt", "tested.txt")
    )
    assert (len(trained), len(tested)) == (94, 26)
    assert not trained & tested


EXACT = {
    "Blobs": [],
    "Several": [],
    "Distributed": [],
    "WholeBatches": [],
    "Blobs with workers": ["dataset_args.num_workers=1"],
    "Blobs, larger batches": ["dataloader_args.batch_size=9"],
}


@pytest.mark.parametrize("way", EXACT)
def test_it_resumes_to_the_same_bits_where_torch_shuffles(project, forks, tmp_path, way):
    name = way.partition(" ")[0].strip(",")
    words = [*TRAIN, f"dataset_name={name}", *EXACT[way]]
    printed = forks.run(project, *words, cwd=tmp_path / "whole")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "stop").write_text("18")
    assert forks(project, tmp_path / "stopped", words) == 1
    assert not (tmp_path / "stopped" / "stop").exists()
    printed = forks.run(project, *RESUME, cwd=tmp_path / "stopped")
    assert "not to the same bits" not in printed
    whole, stopped = (outcome(tmp_path / one, "Linear") for one in ("whole", "stopped"))
    assert differences(whole, stopped) == [], printed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("OwnSampler", "the training loader draws its examples in an order of its own (SubsetR"),
        ("Stream", "in an order of its own (Pieces, an IterableDataset)"),
    ],
)
def test_another_order_is_told_on_resuming(project, forks, tmp_path, name, said):
    (tmp_path / "stop").write_text("8")
    assert forks(project, tmp_path, [*TRAIN, f"dataset_name={name}"]) == 1
    printed = forks.run(project, *RESUME, cwd=tmp_path)
    assert "WARNING: not to the same bits: " in printed
    assert said in printed
    log = (tmp_path / "log.txt").read_text()
    assert log.count("note   each batch weighs 1 in the means of an epoch") == 2  # once a command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset_name=NoTrain"], "NoTrain in datasets/others.py: it has no train_dataloader"),
        (["dataset_name=Blobs", "dataloader_args.shuffle=True"], "dataloader_args: 'shuffle' is"),
        (["dataset_name=Blobs", "dataloader_args.batch_sizes=3"], "did you mean 'batch_size'?"),
        (["dataset_name=Blobs", "dataset_args.data_dri=x"], "did you mean 'data_dir'?"),
        (["dataset_name=Blobs", "dataloader_args.batch_size=no"], "it takes int"),
        (
            ["dataset_name=Blobs", "dataset_args.batch_size=3", "dataloader_args.batch_size=3"],
            "'batch_size' is set in dataset_args as well",
        ),
    ],
)
def test_what_it_does_not_take_is_refused(command, words, said):
    assert said in refused(command, "train", "with", "model_name=Linear", *words)


def test_a_split_without_a_loader_is_refused(command):
    words = ["train", "with", "model_name=Linear", "trainer_args.max_epochs=1"]
    assert command(*words, "dataset_name=NoTest")[0] == 0
    assert "NoTest has no test_dataloader" in refused(command, "evaluate")
    assert "NoVal has no val_dataloader" in refused(command, *words, "dataset_name=NoVal")
    words += ["dataset_name=NoVal", "trainer_args.limit_val_batches=0", "monitor=train_loss"]
    status, printed = command(*words)
    assert status == 0, printed


def test_several_test_loaders_are_for_the_models_own_test_step(command):
    words = ["train", "with", "model_name=Linear", "trainer_args.max_epochs=1"]
    assert command(*words, "dataset_name=Several")[0] == 0
    status, printed = command("evaluate")
    assert status == 1
    assert "Several has 2 test loaders, and this evaluator takes one; TestStep takes all" in printed
    assert "Traceback" not in printed
    status, printed = command("evaluate", "with", "evaluator_name=TestStep")
    assert status == 0, printed
    assert "test_accuracy_1" in printed


def test_a_stream_has_no_length(command):
    words = ["train", "with", "model_name=Linear", "trainer_args.max_epochs=1"]
    assert command(*words, "dataset_name=Stream")[0] == 0
    assert command("evaluate", "with", "evaluator_name=TestStep")[0] == 0
    status, printed = command("evaluate")  # whose report shows some of the mistakes
    assert status == 1
    assert "Stream has no examples that can be read one by one; evaluator_name=TestStep" in printed
    assert "Traceback" not in printed
