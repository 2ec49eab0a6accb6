"""Metrics are recorded where they belong: line, file, result, curve and best score agree."""

from __future__ import annotations

import pytest
from helpers import read
from tiny import curves, plug_ins, recorded, result, words

MODELS = """
TRUE = [5.17, 3.60, 2.51]


class AtEnd(Base):
    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def on_train_epoch_end(self):
        self.log("train/mse", TRUE[self.current_epoch])


class Validated(Base):
    validations = 0

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", 0.0 * self.loss(batch) - self.validations)

    def on_validation_end(self):
        self.validations += not self.trainer.sanity_checking


class Stepwise(Base):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss)
        self.log_dict({"train/double": 2 * loss})
        if batch_idx == 1:
            self.log("rare_epoch", loss)
        return loss

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.log("late_step", float(batch_idx), on_step=True, on_epoch=False)


class Own(Base):
    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def on_train_epoch_end(self):
        self.log("train_loss", 7.0 - self.current_epoch, sync_dist=True)


class Objects(Base):
    def __init__(self):
        super().__init__()
        from torchmetrics import MeanMetric

        self.mean = MeanMetric()

    def training_step(self, batch, batch_idx):
        self.mean(batch[0])
        self.log("mean", self.mean)
        return self.loss(batch)


class Skips(Base):
    def training_step(self, batch, batch_idx):
        if batch_idx == 1:
            return None
        found = {"loss": self.loss(batch), "preds": batch[0].squeeze(), "python": 0.5}
        return found | ({"last": self.loss(batch)} if batch_idx == 2 else {})


class Alone(Base):
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        preds = self.weight * inputs[:, 0]
        return {"loss": preds.mean(), "preds": preds.squeeze(), "targets": targets.squeeze()}


class Gan(Base):
    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.other = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        losses = {}
        for name, weight, opt in zip("gd", (self.weight, self.other), self.optimizers()):
            loss = (weight * batch[0]).mean()
            opt.zero_grad()
            self.manual_backward(loss)
            opt.step()
            losses[f"{name}_loss"] = loss
        return losses

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.0), torch.optim.SGD([self.other], lr=0.0)


class Breaks(Gan):
    def training_step(self, batch, batch_idx):
        if batch_idx == 2:
            self.other.data *= float("inf")
        return super().training_step(batch, batch_idx)


class Masked(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
        self.register_buffer("lazy", None)
        self.register_buffer("moving", torch.zeros(()))

    def training_step(self, batch, batch_idx):
        self.lazy = self.mask.clone()
        return self.loss(batch)


class Diverges(Masked):
    def training_step(self, batch, batch_idx):
        self.moving += torch.inf
        return super().training_step(batch, batch_idx)
"""


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(plug_ins(MODELS))


@pytest.fixture
def train(project, forks, tmp_path):
    """Trains a tiny model: name, words -> what was printed, and the run's folder."""

    def train(model, *more):
        printed = forks.run(project, *words(model, *more), cwd=tmp_path)
        return printed, max((tmp_path / "model_data" / model).iterdir(), key=lambda p: int(p.name))

    return train


def epochs(printed):
    return [line for line in printed.splitlines() if line.startswith("epoch ")]


def test_what_is_logged_at_the_end_of_an_epoch_is_of_that_epoch(train):
    printed, run = train("AtEnd", "monitor=train/mse", "early_stopping_patience=1")
    values = pytest.approx([5.17, 3.60, 2.51])
    assert recorded(run)["train/mse"] == (values, [3, 6, 9])
    lines = epochs(printed)
    assert [float(line.split("train/mse ")[1].split()[0]) for line in lines] == values
    assert result(run)["train/mse"] == result(run)["best_train/mse"] == pytest.approx(2.51)
    assert curves(run)["train/mse"] == [
        (2, pytest.approx(5.17)),
        (5, pytest.approx(3.60)),
        (8, pytest.approx(2.51)),
    ]
    assert curves(run)["train_loss"] == [(2, 4.5), (5, 4.5), (8, 4.5)]
    assert "done   best train/mse 2.5100" in printed


def test_early_stopping_looks_at_the_value_of_the_epoch_that_ends(train):
    more = ("monitor=train/mse", "monitor_mode=max", "early_stopping_patience=1")
    _printed, run = train("AtEnd", *more)
    assert recorded(run)["train/mse"] == (pytest.approx([5.17, 3.60]), [3, 6])
    assert result(run)["best_train/mse"] == pytest.approx(5.17)


def test_a_validation_every_other_epoch_is_recorded_there_only(train):
    more = ("trainer_args.check_val_every_n_epoch=2", "trainer_args.max_epochs=5")
    printed, run = train("Validated", *more)
    assert recorded(run)["val_loss"] == ([0.0, -1.0], [6, 12])
    assert recorded(run)["train_loss"][1] == [3, 6, 9, 12, 15]
    assert ["val_loss" in line for line in epochs(printed)] == [False, True, False, True, False]
    assert curves(run)["val_loss"] == [(5, 0.0), (11, -1.0)]
    assert (result(run)["val_loss"], result(run)["best_val_loss"]) == (-1.0, -1.0)


def test_early_stopping_counts_each_validation_once(train):
    more = (
        "trainer_args.check_val_every_n_epoch=2",
        "monitor_mode=max",
        "trainer_args.max_epochs=20",
    )
    _, run = train("Validated", *more, "early_stopping_patience=2")
    assert recorded(run)["val_loss"] == ([0.0, -1.0, -2.0], [6, 12, 18])
    assert recorded(run)["epoch"][0][-1] == 6


def test_a_validation_within_an_epoch_has_its_own_step(train):
    more = ("trainer_args.val_check_interval=4", "trainer_args.check_val_every_n_epoch=None")
    printed, run = train("Validated", *more, "trainer_args.max_epochs=4")
    assert recorded(run)["val_loss"] == ([0.0, -1.0, -2.0], [4, 8, 12])
    assert recorded(run)["epoch"] == (
        [1, pytest.approx(4 / 3), 2, pytest.approx(8 / 3), 3, 4],
        [3, 4, 6, 8, 9, 12],
    )
    assert ["val_loss" in line for line in epochs(printed)] == [False, False, False, True]
    assert "\nstep 4  val_loss 0.0000\n" in printed
    assert curves(run)["val_loss"] == [(3, 0.0), (7, -1.0), (11, -2.0)]


def test_what_is_logged_by_step_has_its_mean_over_the_epoch(train):
    printed, run = train("Stepwise", "monitor=train_loss")
    steps = [1.5, 5.5, 8.5]
    assert recorded(run)["train_loss"] == ([4.5] * 3, [3, 6, 9])
    assert recorded(run)["train/double"] == ([9.0] * 3, [3, 6, 9])
    assert recorded(run)["rare_epoch"] == ([5.5] * 3, [3, 6, 9])
    assert recorded(run)["late_step"][0] == [pytest.approx(0.8)] * 3
    assert all("train_loss 4.5000" in line for line in epochs(printed))
    assert curves(run)["train_loss"] == list(enumerate(steps * 3))
    assert curves(run)["train_loss_epoch"] == [(2, 4.5), (5, 4.5), (8, 4.5)]
    assert (result(run)["train_loss"], result(run)["best_train_loss"]) == (4.5, 4.5)
    assert "train_loss_step" not in curves(run)


def test_a_name_that_the_model_logs_in_another_hook_is_the_models(train):
    _printed, run = train("Own", "monitor=train_loss")
    assert recorded(run)["train_loss"] == ([7.0, 6.0, 5.0], [3, 6, 9])
    assert curves(run)["train_loss"] == [(2, 7.0), (5, 6.0), (8, 5.0)]
    assert result(run)["best_train_loss"] == 5.0


def test_a_metric_object_logged_by_step_has_the_value_of_the_epoch(train):
    _, run = train("Objects", "monitor=mean")
    assert recorded(run)["mean"] == ([4.5] * 3, [3, 6, 9])


def test_a_mean_is_over_the_examples_that_contributed(train):
    _printed, run = train("Skips", "monitor=train_loss")
    found = recorded(run)
    assert found["train_loss"][0] == [pytest.approx((1.5 * 4 + 8.5 * 2) / 6)] * 3
    assert found["train_last"][0] == [8.5] * 3
    assert found["train_python"][0] == [0.5] * 3
    assert found.keys() == {"train_loss", "train_last", "train_python", "epoch"}


def test_only_scalars_are_metrics(train):
    _, run = train("Alone", "monitor=train_loss", "dataloader_args.batch_size=3")
    assert recorded(run).keys() == {"train_loss", "epoch"}


def test_two_optimizers(train):
    _, run = train("Gan", "monitor=train_g_loss")
    assert recorded(run).keys() == {"train_g_loss", "train_d_loss", "epoch"}
    assert recorded(run)["train_d_loss"] == ([4.5] * 3, [6, 12, 18])  # steps of both


def test_what_is_not_finite_ends_the_training(project, forks, tmp_path):
    for model, said in (
        ("Breaks", "the loss is not finite"),
        ("Diverges", "moving is not finite after step"),
    ):
        status = forks(project, tmp_path, words(model, "monitor=train_loss"))
        assert status == 1
        assert said in (tmp_path / "log.txt").read_text()


def test_a_mask_that_was_infinite_from_the_start_ends_nothing(train):
    _, run = train("Masked", "monitor=train_loss")
    assert read(run / "run.json")["status"] == "COMPLETED"
