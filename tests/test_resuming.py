"""Trainings that are stopped or killed go on to the same bits."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time

import pytest
import torch
from helpers import finish, read, until
from shaky import RESUME, TRAIN, differences, outcome

WAYS = {
    "plain": [],
    "validation within epochs": ["trainer_args.val_check_interval=0.3"],
    "accumulated gradients": ["trainer_args.accumulate_grad_batches=3"],
    "both": ["trainer_args.accumulate_grad_batches=4", "trainer_args.val_check_interval=0.3"],
    "steps": ["trainer_args.max_steps=200", "trainer_args.max_epochs=-1"],
    "worker processes": ["dataloader_args.num_workers=2", "trainer_args.max_epochs=3"],
}


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


def test_two_processes_go_on_as_two(shaky, tmp_path):
    ddp = ["devices=2", "accelerator=cpu", "strategy=ddp"]
    words = [*TRAIN[:-1], *(f"trainer_args.{word}" for word in ddp)]

    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = shaky.start(*words, cwd=tmp_path / "whole")
    stopped = shaky.start(*words, cwd=tmp_path / "stopped")
    until(stopped, "epoch 2/")
    time.sleep(0.05)  # into the next epoch
    stopped.send_signal(signal.SIGTERM)
    printed = finish(stopped)
    assert (stopped.returncode, "Interrupted: train was stopped" in printed) == (1, True), printed
    printed = finish(whole)
    assert whole.returncode == 0, printed
    shaky.module(*RESUME, cwd=tmp_path / "stopped")
    assert differences(outcome(tmp_path / "whole"), outcome(tmp_path / "stopped")) == []
    assert len(outcome(tmp_path / "stopped")["resume_state"]["ranks"]) == 2


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
