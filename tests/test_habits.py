"""Batches of any kind, and other habits: trained, evaluated, stopped in mid-epoch and resumed."""

from __future__ import annotations

import data_modules
import pytest
from habits import MODELS, PAIRS, plug_ins
from helpers import read
from shaky import RESUME, differences, outcome

WORDS = ["callback_names=StopAt", "trainer_args.log_every_n_steps=1", "trainer_args.max_epochs=3"]
WORDS += ["dataloader_args.batch_size=8"]
MONITOR = {"TwoSets": ["monitor=hard_loss"]}


def train(name: str) -> list[str]:
    plug_in = [f"model_name={name}", f"dataset_name={PAIRS[name]}"]
    return ["train", "with", *plug_in, *WORDS, *MONITOR.get(name, [])]


@pytest.fixture(scope="module")
def project(copy_project):
    stop = "callbacks/stop_at.py"
    broken = {
        "models/own_loaders.py": BROKEN_MODEL,
        "models/positional.py": POSITIONAL,
        "datasets/broken_data.py": BROKEN_DATA,
    }
    return copy_project(plug_ins() | broken | {stop: data_modules.PLUG_INS[stop]})


@pytest.mark.parametrize("name", MODELS)
def test_stopped_in_mid_epoch_it_resumes_to_the_same_bits(project, forks, tmp_path, name):
    forks.run(project, *train(name), cwd=tmp_path / "whole")
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "stop").write_text("8")
    assert forks(project, tmp_path / "stopped", train(name)) == 1
    printed = forks.run(project, *RESUME, cwd=tmp_path / "stopped")
    assert "not to the same bits" not in printed
    whole, stopped = (outcome(tmp_path / one, name) for one in ("whole", "stopped"))
    assert differences(whole, stopped) == [], printed
    words = ["with", f"run={name}/1"]
    forks.run(project, "evaluate", *words, "evaluator_name=TestStep", cwd=tmp_path / "whole")
    status = forks(project, tmp_path / "whole", ["evaluate", *words])
    log = (tmp_path / "whole" / "log.txt").read_text()
    assert status == 1
    assert "Traceback" not in log
    assert "evaluator_name: ClassificationReport " in log


def test_means_are_over_the_examples_that_the_sampler_drew(project, forks, tmp_path):
    """45 padded sequences in batches of 8: what `self.log` and `return loss` say is the same."""
    forks.run(project, *train("Padded"), cwd=tmp_path)
    metrics = read(tmp_path / "model_data" / "Padded" / "1" / "metrics.json")
    assert metrics["train_own"]["values"] == pytest.approx(metrics["train_loss"]["values"])
    words = ["evaluate", "with", "evaluator_name=TestStep", "evaluator_args.batch_size="]
    errors = []
    for size in (1, 7, 45):
        forks.run(project, *words[:-1], f"{words[-1]}{size}", cwd=tmp_path)
        newest = max((tmp_path / "model_data/Padded/1/evaluations").iterdir())
        errors.append(read(newest / "results.json")["test_error"])
    assert errors == pytest.approx([errors[0]] * 3, rel=1e-5)  # a mean over batches would differ


def test_attributes_that_are_called_like_methods(project, forks, tmp_path):
    forks.run(project, *train("Lazy"), cwd=tmp_path)
    info = read(tmp_path / "model_data" / "Lazy" / "1" / "info.json")
    assert info["fingerprint"] == {}
    assert info["data"] == {"examples": 45}


BROKEN_MODEL = """
import torch

from .mapping import Mapping


class OwnLoaders(Mapping):
    def train_dataloader(self):
        return torch.utils.data.DataLoader([1.0])


class NoOptimizer(__import__("pytorch_lightning").LightningModule):
    def training_step(self, batch, batch_idx):
        return 0


class NoTestStep(Mapping):
    test_step = __import__("pytorch_lightning").LightningModule.test_step
"""
POSITIONAL = """
from argparse import Namespace

from .mapping import Mapping


class Stars(Mapping):
    def __init__(self, *args, **kwargs):
        super().__init__(**kwargs)


class Placed(Mapping):
    def __init__(self, width: int, /):
        super().__init__(width)


class Named(Mapping):
    def __init__(self, hparams: Namespace):
        super().__init__(hparams.width)
"""
BROKEN_DATA = """
import torch

from .base_data import Base
from .mappingdata import MappingData


class Prepares(MappingData):
    prepare = True


class PreparesItself(MappingData):
    def prepare(self):
        pass


class Streams(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


class Unbalanced(MappingData):
    def __init__(self, split):
        super().__init__(split)
        self.targets = (torch.arange(45) % 9 == 0).float()
        self.classes = self.targets.long()
        if split == "train":
            self.targets = self.classes

    def __getitem__(self, index):
        with open("drawn.txt", "a") as file:
            file.write(f"{int(self.targets[index])}\\n")
        return {"inputs": self.inputs[index], "targets": self.targets[index].float()}
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model_name=OwnLoaders", "its own train_dataloader would be passed over"),
        ("model_name=NoOptimizer", "NoOptimizer in models/own_loaders.py: it has no configure_opt"),
        ("model_name=Placed model_args.width=3", "takes 'width' by its place only"),
        ("model_name=Named", "model_args: Named needs 'hparams'"),
        ("model_name=Named model_args.hparams.width=3", "model_args.hparams"),
        ("dataset_name=Prepares", "its prepare is no classmethod"),
        ("dataset_name=PreparesItself", "its prepare is no classmethod"),
        ("dataset_name=Streams", "Streams in datasets/broken_data.py is no dataset: it has to be"),
        ("dataloader_args.balanced=True", "dataloader_args: balanced=True needs the class of each"),
        ("dataloader_args.balanced=yes", "dataloader_args.balanced='yes' does not fit"),
    ],
)
def test_what_cannot_work_is_one_line(project, forks, tmp_path, words, said):
    base = ["train", "with", "model_name=Mapping", "dataset_name=MappingData"]
    assert forks(project, tmp_path, [*base, *words.split()]) == 1
    printed = (tmp_path / "log.txt").read_text()
    assert said in printed
    assert "Traceback" not in printed


def test_any_arguments_are_taken(project, forks, tmp_path):
    words = ["model_name=Stars", "model_args.width=3", "dataset_name=MappingData"]
    forks.run(project, "train", "with", *words, "trainer_args.max_epochs=1", cwd=tmp_path)
    printed = forks.run(project, "train", "with", *words[:1], *words[2:], "debug", cwd=tmp_path)
    assert "Stars/2" in printed


def test_a_model_without_a_test_step_is_refused(project, forks, tmp_path):
    words = ["model_name=NoTestStep", "dataset_name=MappingData", "trainer_args.max_epochs=1"]
    forks.run(project, "train", "with", *words, cwd=tmp_path)
    assert forks(project, tmp_path, ["evaluate", "with", "evaluator_name=TestStep"]) == 1
    printed = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert "TestStep runs the model's own test_step, and NoTestStep has none" in printed


def test_a_rare_class_is_drawn_as_often_as_a_common_one(project, forks, tmp_path):
    words = ["model_name=Mapping", "dataset_name=Unbalanced", "trainer_args.max_epochs=20"]
    words += ["trainer_args.limit_val_batches=0", "monitor=train_loss"]
    shares = []
    for number, balanced in enumerate((True, False)):
        folder = tmp_path / str(number)
        balance = f"dataloader_args.balanced={balanced}"
        forks.run(project, "train", "with", *words, balance, cwd=folder)
        drawn = (folder / "drawn.txt").read_text().split()
        assert len(drawn) == 20 * 45
        shares.append(drawn.count("1") / len(drawn))
    assert 0.4 < shares[0] < 0.6
    assert shares[1] == pytest.approx(1 / 9)
