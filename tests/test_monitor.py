"""A monitor that nobody logs is refused before the first step, one that somebody may is not."""

from __future__ import annotations

import pytest
from helpers import read
from tiny import plug_ins, recorded, result, words

MODELS = """
from torchmetrics import MeanMetric, MetricCollection


class Named(Base):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train/mae", loss)
        return {"loss": loss, "accuracy": loss}

    def validation_step(self, batch, batch_idx):
        self.log("valid_loss", self.loss(batch))

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log("val_fid", 1.0)


class Shared(Base):
    def step(self, batch, stage):
        loss = self.loss(batch)
        self.log(f"{stage}/loss", loss)
        return loss

    def training_step(self, batch, batch_idx):
        return self.step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self.step(batch, "val")
        for name in ("cat", "dog"):
            self.log("val_of_" + name, 1.0)


class Collected(Base):
    def __init__(self):
        super().__init__()
        self.metrics = MetricCollection({"m1": MeanMetric(), "m2": MeanMetric()}, prefix="val_")

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.metrics.update(self.loss(batch))
        self.log_dict(self.metrics)


class Plain(Base):
    def training_step(self, batch, batch_idx):
        return self.loss(batch)
"""
NO_CHECK = "trainer_args.num_sanity_val_steps=0"


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(plug_ins(MODELS))


@pytest.mark.parametrize(
    ("model", "monitor", "nearest"),
    [
        ("Named", "train_los", "train_loss"),
        ("Named", "train/mea", "train/mae"),
        ("Named", "train_acuracy", "train_accuracy"),
        ("Named", "valid_los", "valid_loss"),
        ("Named", "vall_fid", "val_fid"),
        ("Named", "val_loss", "valid_loss"),
        ("Shared", "val_loss", "val/loss"),
        ("Shared", "tain/loss", "train/loss"),
        ("Shared", "vall/loss", "val/loss"),
        ("Plain", "val_loss", "train_loss"),
    ],
)
@pytest.mark.parametrize("more", [[], [NO_CHECK]], ids=["", "without sanity check"])
def test_a_mistyped_monitor_is_refused(project, forks, tmp_path, model, monitor, nearest, more):
    typed = words(model, f"monitor={monitor}", *more)
    assert forks(project, tmp_path, typed) == 1
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    assert line.startswith(f"UserError: monitor: metric {monitor!r} is unknown: ")
    assert line.endswith(f"`{' '.join(words(model, *more))} monitor={nearest}`")
    assert not (tmp_path / "model_data").exists()
    quoted = line.split("`")[1].split()
    assert forks(project, tmp_path, quoted) == 0, (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("model", "monitor"),
    [
        ("Named", "train_loss"),
        ("Named", "train_accuracy"),
        ("Named", "train/mae"),
        ("Named", "val_fid"),
        ("Shared", "train/loss"),
        ("Shared", "val/loss"),
        ("Shared", "val_of_dog"),
        ("Collected", "val_m2"),
    ],
)
@pytest.mark.parametrize("more", [[], [NO_CHECK]], ids=["", "without sanity check"])
def test_a_right_monitor_is_not_refused(project, forks, tmp_path, model, monitor, more):
    forks.run(project, *words(model, f"monitor={monitor}", *more), cwd=tmp_path)
    run = tmp_path / "model_data" / model / "1"
    assert result(run)[f"best_{monitor}"] == min(recorded(run)[monitor][0])


def test_a_name_that_sources_do_not_tell_is_held_against_the_sanity_check(project, forks, tmp_path):
    assert forks(project, tmp_path, words("Collected", "monitor=val_m3")) == 1
    line = (tmp_path / "log.txt").read_text().splitlines()[-1]
    assert "metric 'val_m3' is unknown: did you mean 'val_m2'?" in line
    assert line.endswith("monitor=val_m2`")


def test_a_model_without_validation_needs_no_monitor(project, forks, tmp_path):
    printed = forks.run(project, *words("Plain"), cwd=tmp_path)
    assert "no 'val_loss' was measured" in printed
    assert read(tmp_path / "model_data/Plain/1/run.json")["status"] == "COMPLETED"


def test_a_command_without_words_is_quoted_too(project, forks, tmp_path):
    assert forks(project, tmp_path, words("Named")) == 1
    line = (tmp_path / "log.txt").read_text().splitlines()[-1]
    assert line.endswith("monitor=valid_loss`")
