"""How a training ends that is ended: closed terminals, signals, hanging, what plug-ins raise."""

from __future__ import annotations

import os
import signal
import time

import pytest
from helpers import finish, read, until

# Models that hang, or end what they should not, in the second epoch.
MODEL = """
import sys
import time

import torch

from .mnist_classifier import MNISTModel


class {name}(MNISTModel):
    def {hook}(self, *args, **kwargs):
        if self.current_epoch == 1 and not self.trainer.sanity_checking:
            print("now", flush=True)
            {what}
        return super().{hook}(*args, **kwargs)
"""
HABITS = {
    "Hanging": ("training_step", "time.sleep(1000)"),
    "Exiting": ("training_step", 'sys.exit("enough of that")'),
    "Exhausted": ("training_step", "next(iter([]))"),
    "Blind": ("validation_step", "next(iter([]))"),
    "Unraised": ("training_step", 'raise KeyError("the bug") from ValueError("never raised")'),
}
PLUG_INS = {
    f"models/{name.lower()}.py": MODEL.format(name=name, hook=hook, what=what)
    for name, (hook, what) in HABITS.items()
}
SMALL = ["dataset_args.source=sample", "model_args.hidden_dimension=4", "threads=1"]
SMALL += ["trainer_args.limit_train_batches=5", "trainer_args.limit_val_batches=2"]
ONCE = ["trainer_args.max_epochs=1"]
FOR_EVER = [*SMALL, "trainer_args.max_epochs=100000"]


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project(PLUG_INS)


def the_run(folder, model="MNISTModel"):
    return folder / "model_data" / model / "1"


def train(project, folder, *words, **env):
    return project.start("train", "with", *words, cwd=folder, **env)


@pytest.mark.parametrize("epochs", [0, 1], ids=["starting", "training"])
def test_a_terminal_that_closes_stops_a_training_like_sigterm(project, tmp_path, epochs):
    process = train(project, tmp_path, *FOR_EVER)
    until(process, "epoch 1/" if epochs else "model ")
    process.send_signal(signal.SIGHUP)
    assert "Interrupted: " in finish(process)
    assert process.returncode == 1
    assert read(the_run(tmp_path) / "run.json")["status"] == "INTERRUPTED"
    assert (the_run(tmp_path) / "checkpoints" / "last.ckpt").exists() == bool(epochs)


def test_under_nohup_a_training_goes_on(project, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the process inherits
    try:
        process = train(project, tmp_path, *SMALL, "trainer_args.max_epochs=3")
    finally:
        signal.signal(signal.SIGHUP, before)
    for epoch in "12":
        until(process, f"epoch {epoch}/")
        process.send_signal(signal.SIGHUP)
    finish(process)
    assert process.returncode == 0


def test_output_that_nobody_reads_ends_nothing(project, tmp_path):
    process = train(project, tmp_path, *SMALL, "trainer_args.max_epochs=3")
    until(process, "model ")
    process.stdout.close()
    assert process.wait() == 0
    assert read(the_run(tmp_path) / "run.json")["status"] == "COMPLETED"
    assert "epoch 3/3" in (the_run(tmp_path) / "cout.txt").read_text()
    with open("/dev/full", "w") as full:
        assert train(project, tmp_path, *SMALL, *ONCE, stdout=full).wait() == 0


@pytest.mark.parametrize("words", [["help"], ["print_config"]], ids="".join)
def test_a_reader_that_has_gone_is_no_error(project, tmp_path, words):
    reader, writer = os.pipe()
    os.close(reader)
    status = project.start("train", *words, cwd=tmp_path, stdout=writer).wait()
    os.close(writer)
    assert status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_hangs_is_ended(project, tmp_path, number):
    process = train(project, tmp_path, *FOR_EVER, "model_name=Hanging")
    until(process, "now")
    # Deep in a library, where no handler of Python's runs.
    process.send_signal(number)
    if number == signal.SIGINT:
        time.sleep(1)
        process.send_signal(number)
    printed = finish(process)
    assert process.returncode == 1
    assert "Interrupted: train was stopped at step 5" in printed
    record = read(the_run(tmp_path, "Hanging") / "run.json")
    assert (record["status"], record["attempts"][-1]["status"]) == ("INTERRUPTED", "INTERRUPTED")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("Exiting", "UserError: sys.exit was called at step 5: enough of that"),
        ("Exhausted", "UserError: epoch 2 ended after 0 of 5 batches: "),
        ("Blind", "UserError: the validation ended after 0 of 2 batches: "),
        ("Unraised", "KeyError: 'the bug'"),
    ],
)
def test_an_end_is_shown_as_what_it_is(project, tmp_path, model, said):
    words = [*SMALL, "trainer_args.max_epochs=3", f"model_name={model}"]
    done = project.module("train", "with", *words, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert said in done.stdout
    assert ("Traceback" in done.stdout) == (model == "Unraised")
    assert "/sacred/" not in done.stdout
    assert "IndexError" not in done.stdout
    assert read(the_run(tmp_path, model) / "run.json")["status"] == "FAILED"
