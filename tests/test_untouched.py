"""A resume that fails, is refused or is stopped before it has trained leaves the run as it was."""

from __future__ import annotations

import pytest
from helpers import Project, read
from shaky import PLUG_INS, RESUME, TRAIN

FAILS = """
import os
import signal
from pathlib import Path

from .shaky import Shaky


class Fails(Shaky):
    def __init__(self, num_classes: int = 3, width: int = 4, fails: str = "", how: str = "raise"):
        super().__init__(num_classes)
        self.save_hyperparameters()
        self.layers[0] = self.layers[0].__class__(8, 32)
        self.extra = self.layers[0].__class__(width, 1)
        self.at("init")

    def at(self, place):
        if self.hparams.fails != place:
            return
        if self.hparams.how == "raise":
            raise RuntimeError(place)
        os.kill(os.getpid(), getattr(signal, self.hparams.how))

    def setup(self, stage):
        self.at("setup")

    def on_fit_start(self):
        self.at("fit_start")

    def on_sanity_check_start(self):
        self.at("sanity")

    def on_train_start(self):
        self.at("train_start")

    def on_train_epoch_start(self):
        self.at("epoch_start")

    def training_step(self, batch, batch_idx):
        self.at(f"batch {batch_idx}")
        return super().training_step(batch, batch_idx)

    def on_validation_start(self):
        if self.trainer.sanity_checking:
            self.at("sanity")
"""


@pytest.fixture(scope="module")
def project(copy_project) -> Project:
    return copy_project(PLUG_INS | {"models/fails.py": FAILS})


@pytest.fixture
def trained(project, forks, tmp_path):
    words = [word.replace("Shaky", "Fails") for word in TRAIN if "every_s" not in word]
    forks.run(project, *words, "trainer_args.max_epochs=2", cwd=tmp_path)
    return tmp_path / "model_data" / "Fails" / "1"


def facts(run) -> dict:
    """All that has to be as it was; the record without its attempts."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != "run.json"]
    own = {"cout.txt", "lock"}
    contents = {path.name: path.read_bytes() for path in files if path.name not in own}
    record = read(run / "run.json")
    return contents | {"record": {k: v for k, v in record.items() if k != "attempts"}}


WHERE = ["init", "setup", "fit_start", "sanity", "train_start", "epoch_start", "batch 3"]
MORE = ["trainer_args.max_epochs=4", "monitor=val_loss", "early_stopping_patience=9"]


def test_a_failure_or_a_signal_at_any_stage(project, forks, tmp_path, trained):
    before, whole = facts(trained), (trained / "run.json").read_bytes()
    best = f"resume={trained / 'checkpoints' / 'best.ckpt'}"
    for place in WHERE:
        for how in ("raise", "SIGINT", "SIGTERM", "SIGKILL"):
            if how in ("SIGINT", "SIGTERM") and place.startswith(("batch", "epoch", "train")):
                continue  # saved within one batch: it has been trained
            fails = [f"model_args.fails={place}", f"model_args.how={how}"]
            for resume in ("resume=last", best):
                words = ["train", "with", resume, *MORE, *fails]
                assert forks(project, tmp_path, words) != 0, words
                after = facts(trained)
                if how == "SIGKILL":  # nothing can be put back: but the reader knows
                    assert after.pop("record")["result"] == before["record"]["result"]
                    known = before.keys() - {"record"}
                    assert {name: after[name] for name in known} == {k: before[k] for k in known}
                    said = forks.run(project, "evaluate", "runs", cwd=tmp_path)
                    assert ("COMPLETED" in said, "DEAD" in said) == (True, False)
                    (trained / "run.json").write_bytes(whole)
                    for path in trained.glob("events*"):
                        if path.name not in before:
                            path.unlink()
                else:
                    assert after == before, words
    forks.run(project, "train", "with", "resume=1", "model_name=Fails", *MORE, cwd=tmp_path)
    assert read(trained / "metrics.json")["epoch"]["values"] == [1, 2, 3, 4]


def test_refusals(project, forks, tmp_path, trained):
    before = facts(trained)
    for change, said in [
        ("model_args.width=5", "do not fit Fails as it is now: size mismatch for extra.weight"),
        ("monitor=val_los", "did you mean"),
        ("dataset_args.sise=3", "did you mean"),
        ("early_stopping_patience=7", "had nothing left to train: early_stopping_patience"),
        ("monitor_mode=max", "nothing left to train"),
    ]:
        longer = [] if "nothing" in said else ["trainer_args.max_epochs=3"]
        assert forks(project, tmp_path, [*RESUME, change, *longer]) == 1
        printed = (tmp_path / "log.txt").read_text()
        assert said in printed, change
        assert "Traceback" not in printed
        assert facts(trained) == before, change


def test_two_at_once_lose_no_attempt(project, forks, tmp_path, trained):
    words = ["train", "with", "resume=1", "model_name=Fails", "trainer_args.max_epochs=3"]
    statuses = forks(project, tmp_path, words, copies=2)
    record = read(trained / "run.json")
    assert statuses.count(0) >= 1
    trained_further = [a for a in record["attempts"][1:] if a["status"] == "COMPLETED"]
    assert len(trained_further) == statuses.count(0)
    assert record["status"] == "COMPLETED"
