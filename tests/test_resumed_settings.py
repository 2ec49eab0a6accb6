"""What is added on resume wins over what a checkpoint restores, and the record is true."""

from __future__ import annotations

import pytest
import torch
from helpers import SIDECARS, TRIPLES, read

SMALL = "dataset_args.source=sample trainer_args.limit_train_batches=5"
MODELS = """
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from .mnist_classifier import MNISTModel


class Plain(MNISTModel):
    def __init__(
        self,
        input_shape,
        num_classes: int,
        learning_rate: float = 0.01,
        momentum: float = 0.5,
        adam: bool = False,
        plateau: bool = False,
    ):
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()

    def configure_optimizers(self):
        hp = self.hparams
        if hp.adam:
            return torch.optim.Adam(self.parameters(), hp.learning_rate)
        optimizer = torch.optim.SGD(self.parameters(), hp.learning_rate, momentum=hp.momentum)
        if not hp.plateau:
            return optimizer
        schedule = ReduceLROnPlateau(optimizer, patience=0, factor=0.1, threshold=10.0)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"},
        }
"""


@pytest.fixture(scope="module")
def own(copy_project):
    return copy_project({"models/plain.py": MODELS})


@pytest.fixture
def train(own, tmp_path):
    """Trains: words -> what was printed, and the last checkpoint of the run."""

    def train(words: str, check: bool = True):
        done = own.module("train", "with", *words.split(), cwd=tmp_path, check=check)
        last = max(tmp_path.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
        return done.stdout, torch.load(last, weights_only=True)

    train.runs = tmp_path / "model_data"
    return train


def group(checkpoint: dict) -> dict:
    return checkpoint["optimizer_states"][0]["param_groups"][0]


def test_hyperparameters_of_the_optimizer_are_those_that_were_added(train):
    train(f"model_name=Plain trainer_args.max_epochs=1 {SMALL}")
    words = "model_args.learning_rate=0.5 model_args.momentum=0.9"
    _, checkpoint = train(f"resume=last trainer_args.max_epochs=2 {words}")
    assert (group(checkpoint)["lr"], group(checkpoint)["momentum"]) == (0.5, 0.9)
    assert checkpoint["optimizer_states"][0]["state"]  # and the momenta are the restored ones
    assert read(train.runs / "Plain/1/config.json")["model_args"]["learning_rate"] == 0.5


def test_a_longer_schedule_is_as_if_it_had_this_length_from_the_start(train):
    train(f"trainer_args.max_epochs=2 {SMALL}")
    _, longer = train("resume=MNISTModel/1 trainer_args.max_epochs=4")
    _, from_start = train(f"trainer_args.max_epochs=4 {SMALL}")
    metrics = read(train.runs / "MNISTModel/1/metrics.json")
    assert len(metrics["val_loss"]["values"]) == 4
    assert longer["lr_schedulers"] == from_start["lr_schedulers"]
    _, stopped = train("resume=MNISTModel/1 trainer_args.max_epochs=6")
    assert group(stopped)["lr"] == 0  # the end of six epochs
    for name, weight in stopped["state_dict"].items():
        assert not torch.equal(weight, longer["state_dict"][name]), name


def test_a_plateau_keeps_its_history(train):
    train(f"model_name=Plain model_args.plateau=True trainer_args.max_epochs=3 {SMALL}")
    _, checkpoint = train("resume=last trainer_args.max_epochs=4 trainer_args.log_every_n_steps=2")
    assert group(checkpoint)["lr"] == pytest.approx(0.01 * 0.1**4)  # no epoch is ten times better


def test_another_optimizer_is_refused_and_the_run_is_as_it_was(train):
    train(f"model_name=Plain trainer_args.max_epochs=1 {SMALL}")
    run = train.runs / "Plain/1"
    before = {name: read(run / name) for name in ("config.json", "metrics.json", "info.json")}
    said, _ = train("resume=last trainer_args.max_epochs=2 model_args.adam=True", check=False)
    assert "trained with another optimizer than Adam" in said
    assert "Traceback" not in said
    assert {name: read(run / name) for name in before} == before
    assert read(run / "run.json")["status"] == "COMPLETED"


def test_patience_and_monitor_are_those_that_were_added(train):
    train(f"trainer_args.max_epochs=1 early_stopping_patience=1 {SMALL}")
    words = "monitor=val_accuracy monitor_mode=max early_stopping_patience=7"
    said, checkpoint = train(f"resume=MNISTModel/1 trainer_args.max_epochs=2 {words}")
    (stopping,) = (v for k, v in checkpoint["callbacks"].items() if k.startswith("EarlyStopping"))
    assert stopping["patience"] == 7
    accuracies = read(train.runs / "MNISTModel/1/metrics.json")["val_accuracy"]["values"]
    assert f"best val_accuracy {max(accuracies):.4f}" in said
    _, checkpoint = train("resume=MNISTModel/1 trainer_args.max_epochs=3 early_stopping_patience=5")
    (stopping,) = (v for k, v in checkpoint["callbacks"].items() if k.startswith("EarlyStopping"))
    assert stopping["patience"] == 5


BUNDLED = {"mnist": ["dataset_args.source=sample"], "csv": [], "text": [], "time_series": []}
CASES = {model: dataset for dataset, model, _ in TRIPLES if dataset in {*BUNDLED, "custom"}}


@pytest.mark.parametrize("model", CASES)
def test_every_starter_trains_on_when_it_gets_more_epochs(copy_project, forks, tmp_path, model):
    triple = next(triple for triple in TRIPLES if triple[:2] == (CASES[model], model))
    project = copy_project({}, triple)
    words = ["trainer_args.limit_train_batches=2", "trainer_args.limit_val_batches=1"]
    words += BUNDLED.get(triple[0], [])
    first = ["train", "with", *words, "trainer_args.max_epochs=1"]
    more = ["train", "with", "resume=last", "trainer_args.max_epochs=3"]
    name = SIDECARS["model"][model]["class_name"]
    last = tmp_path / "model_data" / name / "1" / "checkpoints" / "last.ckpt"
    states = []
    for command in (first, more):
        assert forks(project, tmp_path, command) == 0, (tmp_path / "log.txt").read_text()
        states.append(torch.load(last, weights_only=True)["state_dict"])
    moved = [name for name in states[0] if not torch.equal(states[0][name], states[1][name])]
    assert moved


def test_a_nested_setting_that_was_added_is_kept_by_the_next_resume(copy_project, tmp_path):
    """The arguments of a callback lie two groups deep."""
    counts = (
        "from pytorch_lightning import Callback\n\n\nclass Counts(Callback):\n"
        "    def __init__(self, step: int = 1):\n        self.step = step\n\n"
        "    def on_train_start(self, trainer, pl_module):\n        print('step', self.step)\n"
    )
    project = copy_project({"callbacks/counts.py": counts})
    words = [*SMALL.split(), "callback_names=Counts", "callback_args.Counts.step=2"]
    project.module("train", "with", *words, "trainer_args.max_epochs=1", cwd=tmp_path)
    for epochs, added in ((2, ["callback_args.Counts.step=5"]), (3, [])):
        words = ["resume=last", f"trainer_args.max_epochs={epochs}", *added]
        assert "step 5" in project.module("train", "with", *words, cwd=tmp_path).stdout
    config = read(tmp_path / "model_data" / "MNISTModel" / "1" / "config.json")
    assert config["callback_args"] == {"Counts": {"step": 5}}
