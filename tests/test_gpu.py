"""What needs CUDA: half precision, compiling, pinned memory, the same bits, two ranks.

The tree's package is run as it is, by whatever Python has the libraries: `make gpu`. On a machine
without a GPU, `GPU_TESTS_ON=cpu make gpu` tries what of this file needs none.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from helpers import TREE_PACKAGE, Project, finish, read, until
from shaky import PLUG_INS, TRAIN, differences, outcome

ACCELERATOR = os.environ.get("GPU_TESTS_ON", "gpu")
DEVICES = torch.cuda.device_count() if ACCELERATOR == "gpu" else 2
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DEVICES, reason="there is no GPU here"),
]

ON = f"trainer_args.accelerator={ACCELERATOR}"
SAMPLE = ["train", "with", "dataset_args.source=sample", "trainer_args.max_epochs=2", ON]
PINNED = """
from .mnist_classifier import MNISTModel


class Pinned(MNISTModel):
    def on_before_batch_transfer(self, batch, dataloader_idx):
        if self.trainer.state.fn == "fit":
            print("before:", *(part.is_pinned() for part in batch))
        return batch

    def training_step(self, batch, batch_idx):
        print("within:", *(part.device.type for part in batch))
        return super().training_step(batch, batch_idx)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """The tree's package under a name that can be imported, with plug-ins, not stamped."""
    folder = tmp_path_factory.mktemp("gpu")
    package = folder / "src" / "unstamped"
    shutil.copytree(TREE_PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in (PLUG_INS | {"models/pinned.py": PINNED}).items():
        (package / name).write_text(code)
    return Project(folder)


def the_run(folder: Path, model: str = "MNISTModel") -> Path:
    (run,) = (folder / "model_data" / model).iterdir()
    return run


def trained(project: Project, folder: Path, *words: str) -> dict:
    """Trains and evaluates on the sample; returns the results of the test split."""
    folder.mkdir(exist_ok=True)
    project.module(*SAMPLE, *words, cwd=folder)
    project.module("evaluate", cwd=folder)
    return read(the_run(folder) / "evaluations" / "1" / "results.json")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = the_run(folder) / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True, map_location="cpu")["state_dict"]


@pytest.fixture(scope="module")
def plain(project, tmp_path_factory):
    """A training in full precision: its folder and its results."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, trained(project, folder)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_learns_as_well(project, plain, tmp_path, precision):
    if (ACCELERATOR, precision) == ("cpu", "16-mixed"):
        pytest.skip("Lightning has 16-mixed for GPUs only")
    results = trained(project, tmp_path, f"trainer_args.precision={precision}")
    assert results["test_accuracy"] == pytest.approx(plain[1]["test_accuracy"], abs=0.03)
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float32}


def test_a_compiled_model_learns_the_same(project, plain, tmp_path):
    results = trained(project, tmp_path, "compile=True")
    assert results["test_loss"] == pytest.approx(plain[1]["test_loss"], rel=0.02)


def test_batches_come_from_pinned_memory(project, tmp_path):
    words = ["model_name=Pinned", "trainer_args.limit_train_batches=2"]
    printed = project.module(*SAMPLE, *words, cwd=tmp_path).stdout
    expected = ("before: True True", "within: cuda cuda")
    if ACCELERATOR == "cpu":
        expected = ("within: cpu cpu",)
    for line in expected:
        assert line in printed
    assert "before: False" not in printed or ACCELERATOR == "cpu"


def test_a_stopped_training_ends_with_the_same_bits(project, tmp_path):
    """Dropout draws from the GPU's own random state, which has to be stored as well."""
    words = [*TRAIN, ON, "trainer_args.deterministic=True"]
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    project.module(*words, cwd=tmp_path / "whole")
    process = project.start(*words, cwd=tmp_path / "stopped")
    until(process, "epoch 2/")
    process.send_signal(signal.SIGTERM)
    printed = finish(process)
    assert "Interrupted: train was stopped" in printed, printed
    project.module("train", "with", "resume=last", cwd=tmp_path / "stopped")
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")) == []


@pytest.mark.skipif(DEVICES < 2, reason="there is one GPU only")
def test_two_ranks_are_as_one(project, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    alone = trained(project, one, "dataloader_args.batch_size=64")
    words = ["dataloader_args.batch_size=32", "trainer_args.devices=2", "trainer_args.strategy=ddp"]
    together = trained(project, two, *words)
    assert "on 2 processes" in (the_run(two) / "cout.txt").read_text()
    assert together == pytest.approx(alone, rel=0.02)
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-2, atol=1e-3)
