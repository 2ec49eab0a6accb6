"""Trainings that are stopped, killed, run out of disk: they go on to the same bits."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import DEFAULT, copied, environment, read
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Chance wherever there can be some, and every kind of logging.
SHAKY = """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics import MeanMetric


class Shaky(pl.LightningModule):
    def __init__(self, num_classes: int = 3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)
        )
        self.mean = MeanMetric()

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = F.cross_entropy(self.layers(inputs), targets)
        self.log("train_loss", loss, on_epoch=True, sync_dist=True)
        self.log("train_peak", loss, on_step=False, on_epoch=True, reduce_fx="max", sync_dist=True)
        self.mean(loss)
        self.log("train_mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        logits = self.layers(inputs + 0.1 * torch.randn_like(inputs))
        self.log("val_loss", F.cross_entropy(logits, targets), sync_dist=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        plateau = {"scheduler": schedule, "monitor": "val_loss", "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": plateau}
"""
NOISY = """
import random

import numpy as np
import torch

from . import SplitDataset


class Noisy(SplitDataset):
    num_classes = 3

    def __init__(self, split: str, size: int = 330):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.inputs = torch.randn(size, 8, generator=generator)
        self.targets = torch.randint(3, (size,), generator=generator)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        noise = torch.randn(8) + random.random() + np.random.rand()
        return self.inputs[index] + 0.1 * noise.float(), self.targets[index]
"""
TRAIN = [
    "train",
    "with",
    "model_name=Shaky",
    "dataset_name=Noisy",
    "trainer_args.max_epochs=5",
    "trainer_args.log_every_n_steps=1",
    "dataloader_args.batch_size=6",
    "checkpoint_every_s=0.02",
]
RESUME = ["train", "with", "resume=last"]
WAYS = {
    "plain": [],
    "validation within epochs": ["trainer_args.val_check_interval=0.3"],
    "accumulated gradients": ["trainer_args.accumulate_grad_batches=3"],
    "both": ["trainer_args.accumulate_grad_batches=4", "trainer_args.val_check_interval=0.3"],
    "steps": ["trainer_args.max_steps=200", "trainer_args.max_epochs=-1"],
    "worker processes": ["dataloader_args.num_workers=2", "trainer_args.max_epochs=3"],
}


@pytest.fixture(scope="module")
def own(installed, tmp_path_factory):
    """A project with a model and a dataset that leave much to chance: (project, package)."""
    project = installed(DEFAULT)
    plug_ins = {"models/shaky.py": SHAKY, "datasets/noisy.py": NOISY}
    return project, copied(project, tmp_path_factory.mktemp("own") / "project", plug_ins)


@pytest.fixture(scope="module")
def fork(own):
    """Runs a command in a folder: (folder, words, signal, after seconds or at a file) -> status."""
    project, package = own
    process = subprocess.Popen(
        [project.python, Path(__file__).with_name("forks.py"), package.name],
        env=environment(PYTHONPATH=str(package.parent)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(cwd, words, number=None, after=60.0, at="", copies=1, slow_disk=False):
        cwd.mkdir(exist_ok=True, parents=True)
        job = {"cwd": str(cwd), "words": words, "signal": number, "after": after, "at": at}
        process.stdin.write(json.dumps(job | {"copies": copies, "slow_disk": slow_disk}) + "\n")
        process.stdin.flush()
        statuses = json.loads(process.stdout.readline())
        return statuses if copies > 1 else statuses[0]

    yield run
    process.stdin.close()
    process.wait()


def outcome(folder: Path, model: str = "Shaky") -> dict:
    """Everything of a run that has to be the same: weights, optimizer, chance, metrics, curves."""
    run = folder / "model_data" / model / "1"
    last, best = (
        torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
        for name in ("last", "best")
    )
    metrics = read(run / "metrics.json")
    curves = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {
        "weights": last["state_dict"],
        "best": best["state_dict"],
        "optimizers": last["optimizer_states"],
        "schedules": last["lr_schedulers"],
        "chance": last["exact"],
        "steps": (last["global_step"], best["global_step"]),
        "metrics": {name: (entry["values"], entry["steps"]) for name, entry in metrics.items()},
        "curves": {
            tag: [(event.step, event.value) for event in curves.Scalars(tag)]
            for tag in curves.Tags()["scalars"]
        },
    }


def differences(one, other, place="") -> list[str]:
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{place}: {one.keys() ^ other.keys()}"]
        return [d for key in one for d in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{place}: {one} {other}"[:500]]
        pairs = enumerate(zip(one, other))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}[{i}]")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [f"{place}: {one} {other}"[:500]]


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_training_ends_like_one_that_was_never_stopped(fork, tmp_path, way):
    """Four trainings, each killed at least once: 24 and more kills in all ways together."""
    words, chance = [*TRAIN, *WAYS[way]], random.Random(way)
    begun = time.monotonic()
    assert fork(tmp_path / "whole", words) == 0, (tmp_path / "whole" / "log.txt").read_text()
    duration, whole = time.monotonic() - begun, outcome(tmp_path / "whole")
    for number in range(4):
        folder = tmp_path / str(number)
        record, stops, status = folder / "model_data" / "Shaky" / "1" / "run.json", 0, None
        for attempt in range(30):
            kind = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            kind = kind if attempt < 4 or not stops else None  # at last it may end
            after = chance.uniform(0.15, 0.8 * duration)
            status = fork(folder, RESUME if record.exists() else words, kind, after)
            stops += status != 0
            if status == 0 and stops:
                break
            if status == 0:
                shutil.rmtree(folder)  # it ended before it was killed
        printed = (folder / "log.txt").read_text()
        assert status == 0, printed
        # A worker whose process has been killed may say so in words of its own.
        assert "Traceback" not in printed or way == "worker processes", printed
        assert differences(whole, outcome(folder)) == [], printed
        assert not list(folder.rglob("*.tmp"))
        attempts = read(record)["attempts"]
        assert attempts[-1]["status"] == "COMPLETED"
        assert {a["status"] for a in attempts[:-1]} <= {"DEAD", "INTERRUPTED"}
        assert all(a["start_time"] and a["stop_time"] for a in attempts)


def test_a_kill_while_a_checkpoint_is_written(fork, tmp_path):
    assert fork(tmp_path / "whole", TRAIN) == 0
    whole = outcome(tmp_path / "whole")
    for number, name in enumerate(["last", "best", "last"]):
        folder = tmp_path / str(number)
        at = f"model_data/Shaky/1/checkpoints/{name}.ckpt.tmp"
        assert fork(folder, TRAIN, signal.SIGKILL, at=at, slow_disk=True) == -signal.SIGKILL
        assert (folder / at).exists()
        for path in (folder / at).parent.glob("*.ckpt"):
            torch.load(path, weights_only=True)
        assert fork(folder, RESUME) == 0, (folder / "log.txt").read_text()
        assert differences(whole, outcome(folder)) == []
        assert not list(folder.rglob("*.tmp"))


def test_two_processes_go_on_as_two(own, tmp_path):
    project, package = own
    ddp = ["devices=2", "accelerator=cpu", "strategy=ddp"]
    words = [*TRAIN[:-1], *(f"trainer_args.{word}" for word in ddp)]

    def start(folder, words):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [project.python, "-m", f"{package.name}.runner", *words],
            cwd=folder,
            env=environment(PYTHONPATH=str(package.parent)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    whole = start(tmp_path / "whole", words)
    stopped = start(tmp_path / "stopped", words)
    for line in stopped.stdout:
        if line.startswith("epoch 2/"):
            break
    time.sleep(0.05)  # into the next epoch
    stopped.send_signal(signal.SIGTERM)
    printed = stopped.communicate(timeout=60)[0]
    assert (stopped.returncode, "Interrupted: train was stopped" in printed) == (1, True), printed
    assert whole.wait(timeout=60) == 0
    resumed = start(tmp_path / "stopped", RESUME)
    printed = resumed.communicate(timeout=60)[0]
    assert resumed.returncode == 0, printed
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")) == []
    assert len(outcome(tmp_path / "stopped")["chance"]["ranks"]) == 2


def test_changes_are_recorded_and_nothing_is_overwritten(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    run = tmp_path / "model_data" / "Shaky" / "1"
    first = (run / "cout.txt").read_text()
    assert fork(tmp_path, [*RESUME, "trainer_args.max_epochs=6"]) == 0
    record = read(run / "run.json")
    assert record["attempts"][1]["changes"] == {"trainer_args.max_epochs": 6}
    assert read(run / "config.json")["trainer_args"]["max_epochs"] == 6
    assert read(run / "config.json")["model_name"] == "Shaky"
    text = (run / "cout.txt").read_text()
    assert text.startswith(first)
    assert text.count("epoch 5/5") == text.count("epoch 6/6") == 1
    assert read(run / "metrics.json")["epoch"]["values"] == [1, 2, 3, 4, 5, 6]
    for words, said in [
        (RESUME, "Shaky/1 is complete: to train it further"),
        (["train", "with", "resume=Shaky/2"], "run 'Shaky/2' is unknown"),
        ([*RESUME, "model_name=MNISTModel"], "model_name: Shaky/1 goes on as Shaky"),
        ([*RESUME, "trainer_args.max_epoch=7"], "did you mean 'max_epochs'"),
        (["train", "with", f"resume={run}/checkpoints/bes.ckpt"], "did you mean"),
    ]:
        assert fork(tmp_path, words) == 1
        assert said in (tmp_path / "log.txt").read_text()
    assert len(read(run / "run.json")["attempts"]) == 2
    best = run / "checkpoints" / "best.ckpt"
    steps = torch.load(best, weights_only=True)["global_step"]
    assert fork(tmp_path, ["train", "with", f"resume={best}"]) == 0
    assert f"from best.ckpt, step {steps}" in (tmp_path / "log.txt").read_text()
    assert read(run / "metrics.json")["epoch"]["values"] == [1, 2, 3, 4, 5, 6]


def test_a_mistake_on_resuming_leaves_the_run_as_it_was(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    run = tmp_path / "model_data" / "Shaky" / "1"
    config = read(run / "config.json")
    for mistake in ("trainer_args.max_epochs=1", "monitor=val_los"):  # too few; found out late
        assert fork(tmp_path, [*RESUME, mistake]) == 1
        assert read(run / "config.json") == config
        assert read(run / "run.json")["status"] == "COMPLETED"
        assert read(run / "run.json")["attempts"][-1]["status"] == "FAILED"


def test_a_damaged_checkpoint_is_named_and_the_newest_sound_one_taken(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    checkpoints = tmp_path / "model_data" / "Shaky" / "1" / "checkpoints"
    last, further = checkpoints / "last.ckpt", [*RESUME, "trainer_args.max_epochs=6"]
    sound = last.read_bytes()
    last.write_bytes(sound[:-100])
    assert fork(tmp_path, further) == 0
    printed = (tmp_path / "log.txt").read_text()
    assert re.search(r"WARNING: \S*last.ckpt is damaged: .*; resuming from best.ckpt", printed)

    content = bytearray(last.read_bytes())
    with zipfile.ZipFile(last) as archive:  # one bit of a weight: only the checksum can tell
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        content[largest.header_offset + 200] ^= 1
    last.write_bytes(content)
    (checkpoints / "best.ckpt").write_bytes(b"")
    assert fork(tmp_path, [*RESUME, "trainer_args.max_epochs=7"]) == 1
    final = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert "last.ckpt is damaged" in final
    assert "best.ckpt is damaged" in final


def test_what_could_run_code_is_not_loaded(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    last = tmp_path / "model_data" / "Shaky" / "1" / "checkpoints" / "last.ckpt"

    class Planted:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/planted",)

    content = torch.load(last, weights_only=True) | {"planted": Planted()}
    torch.save(content, last)
    assert fork(tmp_path, [*RESUME, "trainer_args.max_epochs=6"]) == 1
    final = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert "holds objects that could run code" in final
    assert not (tmp_path / "planted").exists()
    pickle.loads(pickle.dumps(Planted()))  # it would have
    assert (tmp_path / "planted").exists()


def test_a_full_disk_ends_the_run_and_spares_what_was_saved(fork, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own takes the right to mount one")
    try:
        # Of the three files of 7.5 MB that the second save needs at once two fit.
        words = ["train", "with", "dataset_args.source=sample", f"log_dir={disk}"]
        assert fork(tmp_path, words) == 1
        printed = (tmp_path / "log.txt").read_text()
        assert "No space left on device" in printed.strip().splitlines()[-1]
        assert "could not be written" in printed.strip().splitlines()[-1]
        assert "Traceback" not in printed
        checkpoints = list(disk.glob("MNISTModel/1/checkpoints/*"))
        assert {path.suffix for path in checkpoints} == {".ckpt"}
        for path in checkpoints:
            torch.load(path, weights_only=True)
        read(disk / "MNISTModel" / "1" / "run.json")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_vanished_folder_ends_the_run(fork, own, tmp_path):
    project, package = own
    process = subprocess.Popen(
        [project.python, "-m", f"{package.name}.runner", *TRAIN, "trainer_args.max_epochs=999"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(package.parent)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    # While it runs it is locked: a second process may look, but not train.
    assert fork(tmp_path, RESUME) == 1
    refusal = f"Shaky/1 is being trained by process {process.pid} on "
    assert refusal in (tmp_path / "log.txt").read_text()
    (tmp_path / "model_data").rename(tmp_path / "elsewhere")
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1, printed
    assert (
        "could not be written ([Errno 2] No such file or directory"
        in printed.strip().splitlines()[-1]
    )
    assert "Traceback" not in printed


def test_eight_at_once(fork, tmp_path):
    words = [*TRAIN, "trainer_args.max_epochs=2"]
    assert fork(tmp_path, words, copies=8) == [0] * 8
    runs = sorted((tmp_path / "model_data" / "Shaky").iterdir())
    assert [run.name for run in runs] == list("12345678")
    for run in runs:
        text = (run / "cout.txt").read_text()
        assert text.startswith("data   Noisy")
        assert f"stored in model_data/Shaky/{run.name}" in text
        assert read(run / "run.json")["status"] == "COMPLETED"


def test_a_run_is_reproduced_or_what_differs_is_named(fork, own, tmp_path):
    project, package = own
    assert fork(tmp_path, TRAIN) == 0
    reproduce = ["train", "reproduce", "with", "run=Shaky/1"]
    assert fork(tmp_path, reproduce) == 0
    assert (
        "identical: weights and metrics are those of Shaky/1" in (tmp_path / "log.txt").read_text()
    )

    record = tmp_path / "model_data" / "Shaky" / "1" / "run.json"
    content = read(record)
    versions = content["experiment"]["dependencies"]
    versions[:] = ["torch==1.0" if word.startswith("torch==") else word for word in versions]
    record.write_text(json.dumps(content))
    info = record.with_name("info.json")
    content = read(info)
    content["machine"]["threads"] = 99
    info.write_text(json.dumps(content))
    model = package / "models" / "shaky.py"
    model.write_text(SHAKY.replace("Dropout(0.5)", "Dropout(0.4)"))
    try:
        # Not in a fork: that has imported the file as it was.
        done = project(
            "python", "-m", f"{package.name}.runner", *reproduce,
            cwd=tmp_path, check=False, PYTHONPATH=str(package.parent),
        )  # fmt: skip
    finally:
        model.write_text(SHAKY)
    assert done.returncode == 1, done.stdout
    for said in (
        "different from Shaky/1",
        "weights: layers.0.weight differs by up to",
        "metrics: train_loss is",
        f"sources: {package.name}/models/shaky.py has changed",
        "versions: torch was torch==1.0",
        "machine: threads was 99, is 1",
    ):
        assert said in done.stdout
    assert fork(tmp_path, ["train", "reproduce"]) == 1
    assert fork(tmp_path, [*reproduce, "seed=3"]) == 1
    printed = (tmp_path / "log.txt").read_text()
    assert "reproduce what?" in printed
    assert "seed: a run is reproduced with its own configuration" in printed


def test_data_that_changed_is_told_on_resuming(fork, tmp_path):
    words = ["train", "with", "debug", "dataset_args.source=sample"]
    assert fork(tmp_path, words) == 0
    info = tmp_path / "model_data" / "MNISTModel" / "1" / "info.json"
    content = read(info)
    assert set(content["fingerprint"]) == {
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    }
    content["fingerprint"]["train-labels-idx1-ubyte.gz"] = "another"
    info.write_text(json.dumps(content))
    assert fork(tmp_path, ["train", "with", "resume=1", "trainer_args.max_epochs=2"]) == 0
    assert (
        "the data is not that which MNISTModel/1 began with" in (tmp_path / "log.txt").read_text()
    )
