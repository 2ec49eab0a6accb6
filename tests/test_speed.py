"""What makes a training fast is what was asked for, and what makes it slow is told. No timings."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch
from helpers import DEBUG, read, run_command

SLOW = """
import time

import torch

from . import SplitDataset


class Slow(SplitDataset):
    input_shape, num_classes = (1, 4, 4), 2

    def __init__(self, split: str):
        pass

    def __len__(self):
        return 300

    def __getitem__(self, index):
        time.sleep(0.01)
        return torch.zeros(1, 4, 4), 1


class SlowAtOnce(Slow):
    def __getitems__(self, indices):
        return torch.utils.data.default_collate([self[i] for i in indices])
"""
IN_MEMORY = """
import tempfile
from pathlib import Path

import torch

from . import SplitDataset


class Busy(SplitDataset):
    input_shape, num_classes = (1, 4, 4), 2

    def __init__(self, split: str, size: int = 600):
        self.images = torch.rand(size, 1, 4, 4)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index] * (sum(range(200_000)) % 2 + torch.rand(())), 1


class BusyAtOnce(Busy):
    def __getitems__(self, indices):
        return torch.utils.data.default_collate([self[i] for i in indices])


class BusyFiles(Busy):
    def __init__(self, split: str, size: int = 600):
        super().__init__(split, size)
        self.path = Path(tempfile.mkdtemp(), "file")
        self.path.write_bytes(bytes(1000))

    def __getitem__(self, index):
        assert self.path.read_bytes()
        return super().__getitem__(index)
"""
COUNTS_THREADS = """
import torch

from . import Evaluator


class CountsThreads(Evaluator):
    def evaluate(self, model, dataset):
        return {"threads": torch.get_num_threads()}
"""


@pytest.fixture(scope="module")
def train(copy_project):
    """Runs a command of a project that has the plug-ins above, and returns its output."""
    plug_ins = {"datasets/busy.py": IN_MEMORY, "datasets/slow.py": SLOW}
    plug_ins |= {"evaluators/counts_threads.py": COUNTS_THREADS}
    project = copy_project(plug_ins)
    return lambda *words, **where: project.module(*words, **where).stdout


def test_threads_are_the_configurations(train, tmp_path):
    for number, words in enumerate([[], ["threads=3"]], start=1):
        threads = 3 if words else 1
        printed = train("train", *DEBUG, *words, cwd=tmp_path, OMP_NUM_THREADS="2")
        assert f"on {threads} thread" in printed
        info = read(tmp_path / f"model_data/MNISTModel/{number}/info.json")
        assert info["machine"]["threads"] == info["speed"]["threads"] == threads
        run = f"run={number}"
        printed = train("evaluate", "with", run, "evaluator_name=CountsThreads", cwd=tmp_path)
        assert f"threads  {threads}.0000" in printed


@pytest.mark.parametrize(
    ("dataset", "workers", "advice"),
    [
        ("Slow", 0, "num_workers=2 reads ahead; a method __getitems__ of Slow reads a batch"),
        ("SlowAtOnce", 0, "num_workers=2 reads ahead\n"),
        ("Slow", 2, "num_workers=4, or a dataset that does less"),
    ],
)
def test_a_training_that_waits_for_its_data_says_so(train, tmp_path, dataset, workers, advice):
    words = [f"dataset_name={dataset}", f"dataloader_args.num_workers={workers}"]
    words += ["trainer_args.limit_val_batches=1", "trainer_args.max_epochs=1"]
    printed = train("train", "with", *words, cwd=tmp_path)
    assert "the data holds the training up: dataloader_args." + advice in printed
    info = read(tmp_path / "model_data/MNISTModel/1/info.json")
    assert 0 < info["speed"]["waiting_for_data"] <= 1
    # 10 ms for each example: never more than a hundred a second and worker
    assert 0 < info["speed"]["examples_per_second"] < 100 * max(1, workers)


@pytest.mark.parametrize(
    ("dataset", "workers", "advice"),
    [
        ("Busy", 0, "a method __getitems__ of Busy reads a batch at once"),
        ("BusyAtOnce", 0, "a BusyAtOnce that does less for an example, or a larger batch_size"),
        ("Busy", 2, "dataloader_args.num_workers=0: it is in memory"),
        (
            "BusyFiles",
            0,
            "dataloader_args.num_workers=2 reads ahead; a method __getitems__ of Busy",
        ),
    ],
)
def test_worker_processes_are_not_advised_for_data_in_memory(
    train, tmp_path, dataset, workers, advice
):
    words = [f"dataset_name={dataset}", f"dataloader_args.num_workers={workers}"]
    words += ["trainer_args.limit_val_batches=1", "trainer_args.max_epochs=1"]
    printed = train("train", "with", *words, cwd=tmp_path)
    assert f"the data holds the training up: {advice}" in printed
    assert ("reads ahead" in printed) == (dataset == "BusyFiles")


def test_looking_at_the_data_changes_no_random_state(tree):
    class Random(torch.utils.data.Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            return torch.rand(()) + random.random() + np.random.rand()

    batches = tree("engine.training.batches").Batches(20, 5, True, False, seed=1)
    loader = tree("engine.training.batches").LazyLoader(Random(), batches)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert not tree("engine.training.speed")._reads_ahead_of_disk(loader)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_data_in_memory_holds_nothing_up(train, tmp_path):
    printed = train("train", "with", "dataset_args.source=sample", cwd=tmp_path)
    assert "speed " in printed
    assert "holds the training up" not in printed
    speed = read(tmp_path / "model_data/MNISTModel/1/info.json")["speed"]
    assert 0 <= speed["waiting_for_data"] < 1


def test_compiled_is_the_same_model(train, tmp_path):
    for number, words in enumerate(([], ["compile=True"]), start=1):
        train("train", *DEBUG, *words, cwd=tmp_path)
        train("evaluate", "with", f"run={number}", cwd=tmp_path)
    runs = [tmp_path / f"model_data/MNISTModel/{number}" for number in (1, 2)]
    results = [read(run / "run.json")["result"] for run in runs]
    assert results[0] == pytest.approx(results[1], rel=1e-4)
    states = [torch.load(r / "checkpoints/last.ckpt", weights_only=True) for r in runs]
    torch.testing.assert_close(*(state["state_dict"] for state in states), rtol=1e-3, atol=1e-5)
    scores = [read(run / "evaluations/1/results.json") for run in runs]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_no_compiler_is_told_before_there_is_a_run(train, tmp_path):
    with pytest.raises(AssertionError, match=r"UserError: compile: .*compiler"):
        train("train", *DEBUG, "compile=True", cwd=tmp_path, PATH="/nowhere", CXX="/nowhere/g++")
    assert not (tmp_path / "model_data").exists()


def test_half_precision_trains(train, tmp_path):
    for precision in ("bf16-mixed", "bf16-true"):
        train("train", *DEBUG, f"trainer_args.precision={precision}", cwd=tmp_path)
    runs = [tmp_path / f"model_data/MNISTModel/{number}" for number in (1, 2)]
    states = [torch.load(r / "checkpoints/last.ckpt", weights_only=True) for r in runs]
    kinds = [state["state_dict"]["head.weight"].dtype for state in states]
    assert kinds == [torch.float32, torch.bfloat16]


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv.pop(1)),) * 2)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_text_larger_than_the_memory(installed, tmp_path):
    project = installed(("text", "gpt", "language_report"))
    text = tmp_path / "large.txt"
    size, limit = 4 << 30, 2 << 30
    with text.open("wb") as file:  # a hole, which takes no room on the disk, between two ends
        file.write(b"To be, or not to be, that is the question.\n" * 1000)
        file.truncate(size)
        file.seek(size)
        file.write(b"The rest is silence.\n" * 1000)
    words = f"dataset_args.path={text} dataset_args.block_size=512 model_args.num_layers=1 "
    words += "dataloader_args.batch_size=4 trainer_args.max_epochs=1 "
    words += "trainer_args.limit_train_batches=5 trainer_args.limit_val_batches=2"
    command = [project.python, "-c", LIMITED, str(limit), f"{project.package.name}.runner"]
    run_command([*command, "train", "with", *words.split()], cwd=tmp_path)
    (folder,) = (tmp_path / "model_data" / "GPT").iterdir()
    assert read(folder / "info.json")["data"]["characters"] > limit
    text.unlink()
