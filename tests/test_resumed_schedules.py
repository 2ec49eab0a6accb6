"""Schedules of a resumed run: as if its settings had been these from the start, or refused."""

from __future__ import annotations

import re

import pytest
import torch
from helpers import Project, read
from shaky import PLUG_INS, RESUME, TRAIN

SCHEDULED = """
import torch
from torch.optim import lr_scheduler as lrs

from .shaky import Shaky


class Own(lrs.LRScheduler):
    def __init__(self, optimizer, total):
        self.total = total
        super().__init__(optimizer)

    def get_lr(self):
        return [base * (1 - self.last_epoch / self.total) for base in self.base_lrs]


class WithHistory(lrs.LRScheduler):
    def get_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, *metrics):
        if self.last_epoch >= 0 and not metrics:
            raise TypeError("step() lacks the metrics")
        super().step()


class Scheduled(Shaky):
    def __init__(self, num_classes: int = 3, kind: str = "lambda", rate: float = 0.01):
        super().__init__()
        self.save_hyperparameters()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.hparams.rate, momentum=0.9)
        total = int(self.trainer.estimated_stepping_batches)
        half = total // 2
        if self.hparams.kind == "lambda":
            schedule = lrs.LambdaLR(optimizer, lambda step: 0.5 * (1 + (total - step) / total))
        elif self.hparams.kind == "one_cycle":
            schedule = lrs.OneCycleLR(optimizer, max_lr=self.hparams.rate, total_steps=total)
        elif self.hparams.kind == "cosine":
            schedule = lrs.CosineAnnealingLR(optimizer, total)
        elif self.hparams.kind == "restarts":
            schedule = lrs.CosineAnnealingWarmRestarts(optimizer, half)
        elif self.hparams.kind == "sequential":
            first = lrs.LinearLR(optimizer, 0.1, total_iters=half)
            then = lrs.CosineAnnealingLR(optimizer, total - half)
            schedule = lrs.SequentialLR(optimizer, [first, then], [half])
        elif self.hparams.kind == "chained":
            first = lrs.ConstantLR(optimizer, 0.5, total_iters=half)
            schedule = lrs.ChainedScheduler([first, lrs.ExponentialLR(optimizer, 0.999)])
        elif self.hparams.kind == "cyclic":
            schedule = lrs.CyclicLR(optimizer, 0.001, self.hparams.rate, step_size_up=half)
        elif self.hparams.kind == "multiplicative":
            schedule = lrs.MultiplicativeLR(optimizer, lambda step: 1 - 1 / total)
        elif self.hparams.kind == "own":
            schedule = Own(optimizer, total)
        elif self.hparams.kind == "history":
            schedule = WithHistory(optimizer)
        else:
            schedule = lrs.LambdaLR(optimizer, lambda step: 0.0)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class SteppedByHand(Scheduled):
    def lr_scheduler_step(self, scheduler, metric):
        scheduler.step()
"""
FUNCTIONS = ["lambda", "one_cycle", "cosine", "restarts", "sequential", "chained", "cyclic"]
FUNCTIONS += ["multiplicative", "own"]


@pytest.fixture(scope="module")
def scheduled(copy_project) -> Project:
    return copy_project(PLUG_INS | {"models/scheduled.py": SCHEDULED})


def words(kind: str, epochs: int, model: str = "Scheduled") -> list[str]:
    begin = [word.replace("Shaky", model) for word in TRAIN if "every_s" not in word]
    few = ["trainer_args.limit_train_batches=6", f"trainer_args.max_epochs={epochs}"]
    return [*begin, *few, f"model_args.kind={kind}"]


def state(folder, model="Scheduled") -> dict:
    return torch.load(folder / f"model_data/{model}/1/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_function_of_its_position_is_as_if_it_had_been_so_from_the_start(
    scheduled, forks, tmp_path, kind
):
    forks.run(scheduled, *words(kind, 4), "model_args.rate=0.02", cwd=tmp_path / "whole")
    forks.run(scheduled, *words(kind, 2), cwd=tmp_path / "longer")
    more = ["trainer_args.max_epochs=4", "model_args.rate=0.02"]
    forks.run(scheduled, *RESUME, *more, cwd=tmp_path / "longer")
    whole, longer = state(tmp_path / "whole"), state(tmp_path / "longer")
    assert longer["lr_schedulers"] == whole["lr_schedulers"]
    groups = [s["optimizer_states"][0]["param_groups"][0] for s in (whole, longer)]
    assert groups[0] == groups[1]


def test_what_is_no_function_is_refused_by_name_and_only_where_it_matters(
    scheduled, forks, tmp_path
):
    for kind, model in (("cosine", "SteppedByHand"),):
        forks.run(scheduled, *words(kind, 1, model), cwd=tmp_path)
        for change in ("trainer_args.max_epochs=2", "model_args.rate=0.02"):
            longer = ["trainer_args.max_epochs=2"] if "rate" in change else []
            assert forks(scheduled, tmp_path, [*RESUME, change, *longer]) == 1
            said = (tmp_path / "log.txt").read_text().rpartition("UserError: ")[2]
            assert change.partition("=")[0] in said
            assert "the learning-rate schedule CosineAnnealingLR cannot be brought" in said
        assert read(tmp_path / f"model_data/{model}/1/run.json")["status"] == "COMPLETED"


def test_the_line_of_an_epoch_shows_the_rate_and_a_rate_of_zero_is_said_once(
    scheduled, forks, tmp_path
):
    printed = forks.run(scheduled, *words("zero", 3), cwd=tmp_path / "zero")
    assert printed.count("the learning rate was 0 for the whole epoch") == 1
    assert len(re.findall(r"^epoch \d/3 .*  lr 0  \d+\.\d s$", printed, re.MULTILINE)) == 3
    printed = forks.run(scheduled, *words("own", 2), cwd=tmp_path / "own")
    assert re.search(r"^epoch 1/2 .*  lr 0.01 to 0.005  ", printed, re.MULTILINE)
    assert re.search(r"^epoch 2/2 .*  lr 0.005 to 0  ", printed, re.MULTILINE)
    assert "whole epoch" not in printed
