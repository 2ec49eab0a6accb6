"""Who reads which examples: each one once, by somebody, in an order of its own in each epoch."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import run_command


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 5, 6, 60, 61, 62, 64, 97])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_example_is_read_once_by_somebody(tree, world, size, batch, shuffle):
    def batches(*place, drop_last=False):
        found = tree("engine.training.loaders").Batches(size, batch, shuffle, drop_last, 7, *place)
        found.set_epoch(3)
        read = list(found)
        assert len(found) == len(read)
        return read

    ranks = [batches(rank, world) for rank in range(world)]
    counts = {len(rank) for rank in ranks}
    assert len(counts) == 1  # else the others wait for ever
    if size < world:
        assert counts == {0}
        return
    assert sorted(i for rank in ranks for some in rank for i in some) == list(range(size))
    assert all(some for rank in ranks for some in rank)
    alone = tree("engine.training.loaders").Batches(size, batch * world, shuffle, False, 7)
    alone.set_epoch(3)
    for number, whole in enumerate(list(alone)[: size // (batch * world)]):
        together = {i for rank in ranks for i in rank[number]}
        assert together >= set(whole)
        assert len(together - set(whole)) < world  # those that would leave somebody without
    for rank in range(world):
        full = batches(rank, world, drop_last=True)
        assert [len(some) for some in full] == [batch] * (size // (batch * world))


def test_an_epoch_has_its_own_order_and_goes_on_within(tree):
    batches = tree("engine.training.loaders").Batches(50, 4, True, False, 1)
    first = list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert first != second
    batches.start = 5
    assert list(batches) == second[5:]
    assert list(batches) == second


def test_fewer_examples_than_processes_are_refused(tree):
    data = tree("engine.training.loaders")
    examples = torch.utils.data.TensorDataset(torch.zeros(2))
    examples.collate_fn = list
    module = data.DataModule(examples, examples, {"batch_size": 4}, 1)
    cpu = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(global_rank=0, world_size=3, strategy=cpu, overfit_batches=0)
    for loader in (module.train_dataloader, module.val_dataloader):
        with pytest.raises(Exception, match="no batch for each of 3 processes"):
            loader()


@pytest.mark.parametrize(("device", "asked", "pinned"), [("cpu", {}, False), ("cuda", {}, True)])
def test_batches_for_a_gpu_are_pinned(tree, device, asked, pinned):
    examples = torch.utils.data.TensorDataset(torch.zeros(2))
    examples.collate_fn = list
    module = tree("engine.training.loaders").DataModule(examples, examples, asked, 1)
    strategy = SimpleNamespace(root_device=torch.device(device))
    module.trainer = SimpleNamespace(
        global_rank=0, world_size=1, strategy=strategy, overfit_batches=0
    )
    assert module.train_dataloader().pin_memory is pinned
    module.arguments = {"pin_memory": False}
    assert module.train_dataloader().pin_memory is False


AS_ON_3_14 = """
import multiprocessing

multiprocessing.set_start_method("forkserver")  # what Python 3.14 does by itself
from {package}.runner import train_command

train_command(["train", "with", "debug", "model_name=MNISTModel", "dataset_name=Bound", *{words}])
"""
BOUND = """
from .mnist_dataset import MNISTDataset


class Bound(MNISTDataset):
    def __init__(self, split: str, data_dir: str, source: str = "auto", shift: int = 0):
        super().__init__(split, data_dir, source, shift)
        self.never_pickled = lambda: None
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks without harm")
def test_workers_are_forked_whatever_python_does_by_itself(copy_project, tmp_path):
    """Else each of them would import torch anew, and a dataset would have to be pickled."""
    project = copy_project({"datasets/bound.py": BOUND})
    words = ["dataset_args.source=sample", "dataset_args.data_dir=data"]
    words.append("dataloader_args.num_workers=2")
    code = AS_ON_3_14.format(package=project.package.name, words=words)
    command = [project.python, "-c", code]
    done = run_command(command, tmp_path, check=False, PYTHONPATH=str(project.path / "src"))
    assert done.returncode == 0, done.stdout
