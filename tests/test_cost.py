"""Cost grows with the work: what is written, read and kept in memory. No timings: see bench.py."""

from __future__ import annotations

import errno
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from helpers import run_command

TOLD = """
import pytorch_lightning as pl
import torch
from torch import nn


class Told(pl.LightningModule):
    def __init__(self, losses: list = (3.0, 1.0, 2.0)):
        super().__init__()
        self.save_hyperparameters()
        self.weight = nn.Parameter(torch.ones(10))

    def training_step(self, batch, batch_idx):
        return (self.weight * batch).sum()

    def validation_step(self, batch, batch_idx):
        losses = self.hparams.losses
        self.log("val_loss", losses[min(self.current_epoch, len(losses) - 1)])

    def on_save_checkpoint(self, checkpoint):
        print("serialised", flush=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)
"""
TENS = """
import torch

from . import SplitDataset


class Tens(SplitDataset):
    def __init__(self, split: str):
        pass

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.full((10,), float(index))
"""
COUNTS = """
from pathlib import Path

from pytorch_lightning import Callback


class Counts(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        with Path("written.txt").open("a") as file:
            print(fields["wchar"], file=file)
"""
TRAIN = ["train", "with", "model_name=Told", "dataset_name=Tens"]
TRAIN += ["dataloader_args.batch_size=2", "trainer_args.enable_progress_bar=False"]


@pytest.fixture(scope="module")
def small(copy_project):
    return copy_project(
        {"models/told.py": TOLD, "datasets/tens.py": TENS, "callbacks/counts.py": COUNTS}
    )


@pytest.fixture(scope="module")
def checkpoint_file(tree):
    return tree("engine.runs.checkpoint_file")


# -- Saving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "same"), [(1, True), (2, True), (3, False)])
def test_best_and_last_of_one_save_point_are_one_file(small, forks, tmp_path, epochs, same):
    printed = forks.run(small, *TRAIN, f"trainer_args.max_epochs={epochs}", cwd=tmp_path)
    # Once more at the first step, to see that it could be read back.
    assert printed.partition("epoch 1/")[2].count("serialised") == epochs
    folder = tmp_path / "model_data" / "Told" / "1" / "checkpoints"
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    assert last.samefile(best) == same
    assert {path.name for path in folder.iterdir()} == {"last.ckpt", "best.ckpt"}
    steps = [torch.load(path, weights_only=True)["global_step"] for path in (last, best)]
    assert steps == [2 * epochs, 2 * min(epochs, 2)]  # of three epochs the second is the best


@pytest.mark.parametrize("number", [None, errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK])
def test_one_of_two_names_is_replaced_without_the_other(
    checkpoint_file, tmp_path, monkeypatch, number
):
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    if number:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(number, "no")))
    io = checkpoint_file.AtomicCheckpointIO()
    last.write_text("of the epoch before")
    io.save_checkpoint({"step": 1}, best)
    checkpoint_file.name_as_well(best, last)
    assert torch.load(last, weights_only=True) == {"step": 1}
    assert last.samefile(best) == (number is None)
    for step, path, other in ((2, last, best), (3, best, last)):
        before = other.read_bytes()
        io.save_checkpoint({"step": step}, path)
        assert other.read_bytes() == before
        assert torch.load(path, weights_only=True) == {"step": step}
    assert sorted(tmp_path.iterdir()) == [best, last]


def test_what_a_kill_left_over_is_not_written_to(checkpoint_file, tmp_path):
    """Killed after the link, before the replacement: the left-over file is `best.ckpt` itself."""
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    io = checkpoint_file.AtomicCheckpointIO()
    io.save_checkpoint({"step": 1}, best)
    os.link(best, tmp_path / "last.ckpt.tmp")
    io.save_checkpoint({"step": 2}, last)
    assert torch.load(best, weights_only=True) == {"step": 1}
    os.link(best, tmp_path / "last.ckpt.tmp")
    checkpoint_file.name_as_well(best, last)
    assert last.samefile(best)
    assert sorted(tmp_path.iterdir()) == [best, last]


def test_a_second_name_that_cannot_be_written_is_refused(
    checkpoint_file, tree, tmp_path, monkeypatch
):
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    best.write_text("new")
    last.write_text("old")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(full))
    monkeypatch.setattr("shutil.copyfile", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(tree("engine.errors").UserError, match=r"No space left .* is kept"):
        checkpoint_file.name_as_well(best, last)
    assert last.read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc counts what a process writes")
def test_an_epoch_writes_as_much_however_many_there_were(small, forks, tmp_path):
    forks.run(small, *TRAIN, "trainer_args.max_epochs=61", "callback_names=Counts", cwd=tmp_path)
    written = list(map(int, (tmp_path / "written.txt").read_text().split()))
    early, late = written[30] - written[10], written[60] - written[40]
    assert late == pytest.approx(early, rel=0.05)


BAD = (float("nan"), float("inf"), -float("inf"))
KINDS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]
KINDS += [torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_not_finite_is_found_in_every_kind_of_tensor(tree, kind):
    is_finite = tree("engine.training.finite").is_finite
    for bad in BAD:
        if kind is torch.float8_e4m3fn and bad == bad:
            continue  # which has no infinity
        values = torch.ones(3, 4)
        assert is_finite(values.to(kind))
        values[1, 2] = bad
        values = values.to(kind)
        assert not is_finite(values)
        assert not is_finite(values.t())
        assert not is_finite(values[1:, ::2])
        assert is_finite(values[:, :2])
        if kind.itemsize > 1:
            assert not is_finite(values.to_sparse())
            assert not is_finite(values.to_sparse_csr())
        if kind.is_complex:
            assert not is_finite(values.conj())
            assert not is_finite(values * 1j)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_what_has_no_nan_is_finite(tree):
    is_finite = tree("engine.training.finite").is_finite
    for values in (
        torch.zeros(0),
        torch.zeros(3, 0),
        torch.tensor([True, False]),
        torch.arange(3),
        torch.zeros(3, device="meta"),
        torch.zeros(2, 2).to_sparse(),
        torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8),
    ):
        assert is_finite(values)


# -- Memory ---------------------------------------------------------------------------------------

SAVES = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
from helpers import tree_module
checkpoint_file = tree_module("engine.runs.checkpoint_file")
is_finite = tree_module("engine.training.finite").is_finite
content = {"state_dict": {"weight": torch.ones(50_000_000)}}
best, last = Path(sys.argv[2], "best.ckpt"), Path(sys.argv[2], "last.ckpt")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert is_finite(content["state_dict"]["weight"])
checkpoint_file.AtomicCheckpointIO().save_checkpoint(content, best)
checkpoint_file.name_as_well(best, last)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_saving_takes_hardly_any_memory(tmp_path):
    tests = Path(__file__).parent
    done = run_command([sys.executable, "-c", SAVES, tests, tmp_path], cwd=tmp_path)
    assert int(done.stdout) < 0.05 * 200_000  # of 200 MB of weights


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what memory is used")
def test_a_checkpoint_is_checked_in_little_memory_and_read_when_used(checkpoint_file, tmp_path):
    def used() -> int:
        fields = Path("/proc/self/status").read_text().splitlines()
        return sum(int(f.split()[1]) for f in fields if f.startswith(("RssAnon", "RssFile")))

    path, size = tmp_path / "it.ckpt", 25_000_000
    content = {"state_dict": {"weight": torch.ones(size)}, "optimizer_states": torch.ones(size)}
    torch.save(content, path)
    del content
    before = used()
    tracemalloc.start()
    read = checkpoint_file.read_checkpoint(path)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
    assert used() - before < 20_000  # KiB, of 200 MB in the file
    assert read["state_dict"]["weight"].sum() == size
    assert used() - before < 120_000  # the weights, without the optimizer's states
