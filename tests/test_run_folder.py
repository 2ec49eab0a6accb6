"""What a run leaves in its folder while it runs, when it is killed, and beside other observers."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from datetime import datetime
from functools import partial

import pytest
from helpers import DEBUG, read, start_command, tree_module

# A model that says something and dies, some moments after the run's beginning.
DYING = """
import os
import signal
import sys

import torch

from .mnist_classifier import MNISTModel


class Dying(MNISTModel):
    def on_train_epoch_start(self):
        print(f"début {self.current_epoch}")
        if self.current_epoch == 2:
            print("half a line", end="", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGKILL)
"""
SMALL = ["dataset_args.source=sample", "model_args.hidden_dimension=4"]
SMALL += ["trainer_args.limit_train_batches=5", "trainer_args.limit_val_batches=1"]


@pytest.fixture(scope="module")
def project(installed):
    return installed()


def test_a_kill_loses_neither_output_nor_metrics(copy_project, tmp_path):
    dying = partial(copy_project({"models/dying.py": DYING}).module, cwd=tmp_path)
    words = ["train", "with", *SMALL, "model_name=Dying", "trainer_args.max_epochs=4"]
    assert dying(*words, check=False).returncode == -signal.SIGKILL
    run = tmp_path / "model_data" / "Dying" / "1"
    text = (run / "cout.txt").read_text(encoding="utf-8")
    assert re.search(r"^epoch 2/4 .*\ndébut 2\nhalf a line\Z", text, re.MULTILINE)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["values"]["epoch"] for line in lines] == [1, 2]
    assert not (run / "metrics.json").exists()

    with (run / "metrics.jsonl").open("a") as file:  # as a kill leaves it, or a full disk
        file.write('{"step": 15, "times')
    assert re.search(r"DEAD +2 ", dying("evaluate", "runs").stdout)
    assert read(run / "metrics.json")["epoch"]["values"] == [1, 2]

    assert dying("train", "with", "resume=last", check=False).returncode < 0
    text = (run / "cout.txt").read_text(encoding="utf-8")
    assert "half a line\ndata   MNISTDataset" in text  # not on the line that was torn


def test_metrics_of_a_resumed_run_are_those_of_its_checkpoint(project, tmp_path):
    three = [*SMALL, "trainer_args.max_epochs=3"]
    project("train", "with", *three, cwd=tmp_path)
    run = tmp_path / "model_data" / "MNISTModel" / "1"
    written = (run / "metrics.jsonl").read_text()
    table = read(run / "metrics.json")
    assert table["val_loss"]["values"] == [
        json.loads(line)["values"]["val_loss"] for line in written.splitlines()
    ]
    again = f'{written}{{"step": 99, "timestamp": "x", "values": {{"epoch": 9}}}}\n{{"st'
    (run / "metrics.jsonl").write_text(again)
    project("train", "with", "resume=1", "trainer_args.max_epochs=4", cwd=tmp_path)
    assert (run / "metrics.jsonl").read_text().startswith(written)
    assert read(run / "metrics.json")["epoch"]["values"] == [1, 2, 3, 4]
    assert read(run / "metrics.json")["epoch"]["steps"] == [5, 10, 15, 20]


def in_a_terminal(command, cwd) -> tuple[int, str]:
    """Runs a command in a terminal; returns its exit status and what the terminal was sent."""
    leader, follower = pty.openpty()
    # tqdm (4.70) shows no bar where a terminal has no width.
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start_command(command, cwd, stdout=follower, TERM="xterm")
    os.close(follower)
    sent = b""
    while True:
        try:
            sent += os.read(leader, 1 << 16)
        except OSError:  # how a terminal without a program ends
            break
    os.close(leader)
    return process.wait(), sent.decode()


def test_a_terminal_gets_everything_and_the_file_what_it_shows_in_the_end(project, tmp_path):
    train = [project.python.with_name("train"), "with", "dataset_args.source=sample"]
    status, sent = in_a_terminal([*train, "trainer_args.max_epochs=2"], tmp_path)
    assert status == 0, sent
    assert re.search(r"\rEpoch 1:.*it/s", sent)
    text = (tmp_path / "model_data" / "MNISTModel" / "1" / "cout.txt").read_text()
    assert not re.search("[\r\b]", text)
    assert re.findall(r"epoch (\d/\d)  train_loss", text) == ["1/2", "2/2"]
    assert len(text.splitlines()) < 25  # of a bar what it ended with, not each of its states


@pytest.fixture
def output(tmp_path):
    output = tree_module("engine.runs.output").Output(tmp_path / "cout.txt")
    yield output
    output.stop()


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (["one\n", "two"], "one\ntwo"),
        (["0 %", "\r50 %", "\r100 %\n"], "100 %\n"),
        (["long line", "\rshort"], "shortline"),
        (["windows\r\n", "unix\n"], "windows\nunix\n"),
        (["abc\b", "d"], "abd"),
        (["\b\bü\udcff"], "ü\\udcff"),
        (["a\rb\nc\rd", "e\r", "f"], "b\nfe"),
        (["".join(f"\r{i}" for i in range(1000)), "\n"], "999\n"),
    ],
)
def test_output_as_a_terminal_shows_it(output, tmp_path, printed, shown):
    for text in printed:
        output.write(text)
    assert (tmp_path / "cout.txt").read_text(encoding="utf-8") == shown


def test_the_streams_are_given_back(output, tmp_path, monkeypatch):
    first, fileno = sys.stdout, sys.stderr.fileno
    output.start()
    assert sys.stdout is not first
    assert sys.stderr.fileno == fileno  # and so on: isatty, encoding, buffer
    kept = sys.stdout
    print("within")
    if not os.fork():  # a worker's line must not overwrite ours
        print("in a fork")
        os._exit(0)
    os.wait()
    output.stop()
    assert sys.stdout is first
    print("after", file=kept)  # a logging handler may hold it
    assert (tmp_path / "cout.txt").read_text() == "within\n"


def test_other_observers_and_options(project, tmp_path):
    words = [*DEBUG[1:], "trainer_args.limit_train_batches=1"]
    options = ["-F", "other", "-i", "mine", "--name", "renamed", "-c", "a comment"]
    project("train", *options, "with", *words, cwd=tmp_path)
    run, other = tmp_path / "model_data" / "MNISTModel" / "mine", tmp_path / "other" / "mine"
    record = read(run / "run.json")
    assert record["experiment"]["name"] == "renamed"
    assert record["meta"]["comment"] == "a comment"
    assert record["heartbeat"]
    assert read(other / "run.json")["status"] == record["status"] == "COMPLETED"
    assert (other / "cout.txt").read_text() == (run / "cout.txt").read_text()
    assert read(other / "metrics.json").keys() == read(run / "metrics.json").keys()
    refused = project("train", "-i", "mine", "with", *words, cwd=tmp_path, check=False)
    assert "mine exists already: choose another id" in refused.stdout
    refused = project("train", "-i", "../up", "with", *words, cwd=tmp_path, check=False)
    assert "UserError: a run cannot be called '../up'" in refused.stdout

    before = sorted(tmp_path.rglob("*"))
    project("train", "-u", "with", *words, cwd=tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    project("train", "-q", "with", *words, cwd=tmp_path)
    queued = tmp_path / "model_data" / "MNISTModel" / "1"
    assert read(queued / "run.json")["status"] == "QUEUED"
    assert read(queued / "config.json")["model_name"] == "MNISTModel"


def test_artifacts_and_resources(tmp_path):
    folder = tree_module("engine.runs.folder").RunFolder(tmp_path / "runs" / "Model")
    now = datetime(2026, 1, 1)
    config = {"seed": 1}
    begun = {"ex_info": {}, "command": "train", "host_info": {}, "meta_info": {}, "_id": None}
    assert folder.started_event(start_time=now, config=config, **begun) == "1"
    (tmp_path / "a.txt").write_text("a")
    folder.artifact_event("a.txt", str(tmp_path / "a.txt"))
    folder.resource_event(str(tmp_path / "a.txt"))
    with pytest.raises(FileExistsError, match="is a file of the run"):
        folder.artifact_event("run.json", str(tmp_path / "a.txt"))
    folder.completed_event(now, {"loss": 1.0})
    folder.lock.close()
    record = read(folder.dir / "run.json")
    assert record["artifacts"] == ["a.txt"]
    assert record["resources"][0][0] == str(tmp_path / "a.txt")
    assert (folder.dir / "a.txt").read_text() == "a"
    assert [path.read_text() for path in (folder.dir / "resources").iterdir()] == ["a"]
    assert not list(folder.dir.rglob("*.tmp"))


@pytest.mark.parametrize("made_before", [False, True])
def test_recorded_sources_are_neither_linted_nor_committed(copy_project, tmp_path, made_before):
    """Wherever the runs are, with sources that ruff would complain of."""
    project = copy_project({"util/ugly.py": "import os,sys\n"})
    own = project.path
    git = ["git", "-C", own, "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    if made_before:
        (own / "elsewhere").mkdir()
    words = ["with", *DEBUG[1:], "trainer_args.limit_train_batches=1", "log_dir=elsewhere"]
    project.module("train", *words, cwd=own)
    assert list(own.glob("elsewhere/MNISTModel/1/sources/**/ugly.py"))
    ruff = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."]
    said = subprocess.run(ruff, cwd=own, capture_output=True, text=True, check=False).stdout
    assert "ugly.py" in said
    assert "elsewhere" not in said
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    assert status.stdout == ""


def test_evaluations_are_recorded_alike(project, tmp_path):
    project("train", *DEBUG, cwd=tmp_path)
    printed = project("evaluate", "with", "run=1", cwd=tmp_path).stdout
    evaluation = tmp_path / "model_data" / "MNISTModel" / "1" / "evaluations" / "1"
    assert (evaluation / "cout.txt").read_text() == printed
    assert read(evaluation / "run.json")["attempts"][0]["status"] == "COMPLETED"
    assert not (evaluation.parent / ".gitignore").exists()
