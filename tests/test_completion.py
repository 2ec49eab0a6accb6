"""TAB completes commands, presets, keys, classes and runs, in real shells where they are there."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest
from helpers import Project, environment
from test_help import PLUG_INS

ANSWERS_WITHIN_S = 60  # after which a shell hangs: a guard for a busy machine
BREAKS = " \t\n\"'@><=;|&(:"  # bash's COMP_WORDBREAKS


@pytest.fixture(scope="module")
def own(copy_project) -> Project:
    return copy_project(PLUG_INS)


@pytest.fixture
def folder(tmp_path):
    """Two runs, a configuration file, and what is neither."""
    for run in ("MNISTModel/1", "CNN/12"):
        (tmp_path / "model_data" / run).mkdir(parents=True)
        (tmp_path / "model_data" / run / "run.json").write_text("{}")
    (tmp_path / "goes_on.yaml").write_text("resume: 1\n")
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


@pytest.fixture
def complete(own, folder):
    """The candidates for the last of some words, without their meanings."""

    def ask(command: str, *words: str) -> list[str]:
        done = own.module(command, "_complete", "fish", *words, cwd=folder)
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    return ask


def test_commands_and_presets(complete):
    assert {"help", "completion", "print_config", "reproduce", "with"} <= set(complete("train", ""))
    assert {"runs", "compare", "clean"} <= set(complete("evaluate", ""))
    assert complete("train", "comp") == ["completion"]
    assert complete("train", "completion", "") == ["bash", "fish", "zsh"]
    assert complete("train", "print_config", "") == ["with"]
    assert complete("train", "--unob") == ["--unobserved"]
    assert "model_args" in complete("train", "help", "")
    assert complete("evaluate", "help", "evaluator_a") == ["evaluator_args"]
    assert complete("train", "with", "deb") == ["debug"]
    assert complete("train", "with", "g") == ["goes_on.yaml"]
    assert "notes.txt" not in complete("train", "with", "")
    assert "_complete" not in complete("train", "")


def test_keys_of_the_configured_classes(complete):
    assert complete("train", "with", "model_a") == ["model_args."]
    assert complete("train", "with", "model_args.") == [
        f"model_args.{name}="
        for name in ("hidden_dimension", "input_shape", "learning_rate", "num_classes")
    ]
    found = complete("train", "with", "model_name=PassesOn", "model_args.")
    assert found == [f"model_args.{name}=" for name in ("beside", "extra", "shift", "width")]
    assert complete("train", "with", "trainer_args.max_ep") == ["trainer_args.max_epochs="]
    assert complete("train", "with", "dataloader_args.num") == ["dataloader_args.num_workers="]
    words = ["callback_names=EMA", "callback_args."]
    assert complete("train", "with", *words) == ["callback_args.EMA."]
    words[1] += "EMA."
    assert complete("train", "with", *words) == ["callback_args.EMA.decay="]
    assert "seed=" not in complete("train", "with", "seed=3", "")
    assert complete("evaluate", "with", "evaluator_args.num_b") == ["evaluator_args.num_bins="]
    assert complete("evaluate", "with", "dataset_args.so") == ["dataset_args.source="]
    assert complete("evaluate", "runs", "with", "so") == ["sort="]


def test_values(complete):
    assert "model_name=Google" in complete("train", "with", "model_name=")
    assert complete("train", "with", "callback_names=EM") == ["callback_names=EMA"]
    assert complete("train", "with", "compile=") == ["compile=False", "compile=True"]
    assert complete("train", "with", "monitor_mode=m") == ["monitor_mode=max", "monitor_mode=min"]
    (device,) = complete("train", "with", "trainer_args.accelerator=c")
    assert device == "trainer_args.accelerator=cpu"
    found = complete("train", "with", "dataset_args.source=")
    assert found == [f"dataset_args.source={source}" for source in ("auto", "full", "sample")]
    assert complete("evaluate", "with", "evaluator_name=Cl") == [
        "evaluator_name=ClassificationReport"
    ]
    assert complete("train", "with", "dataset_args.data_dir=mo") == [
        "dataset_args.data_dir=model_data/"
    ]


def test_runs(complete):
    runs = ["CNN/12", "MNISTModel/1"]
    assert complete("evaluate", "with", "run=") == [f"run={r}" for r in (*runs, "best", "last")]
    assert complete("train", "with", "resume=M") == ["resume=MNISTModel/1"]
    assert complete("train", "reproduce", "with", "run=C") == ["run=CNN/12"]
    found = complete("evaluate", "compare", "with", "runs=")
    assert found == [f"runs={r}" for r in (*runs, "all")]
    assert complete("evaluate", "compare", "with", "runs=CNN/12,") == ["runs=CNN/12,MNISTModel/1"]
    assert complete("evaluate", "with", "log_dir=elsewhere", "run=") == ["run=best", "run=last"]


def test_what_would_be_refused_completes_as_if_it_was_not_there(complete):
    assert complete("train", "with", "nonsense", "deb") == ["debug"]
    assert complete("train", "with", "resume=99", "deb") == ["debug"]


def test_bash_replaces_what_follows_an_equals_sign(own, folder):
    def ask(line: str, breaks: str = BREAKS) -> list[str]:
        done = own.module("train", "_complete", "bash", breaks, line, cwd=folder)
        return done.stdout.splitlines()

    assert ask("train with model_name=Goo") == ["Google "]
    assert ask("train with model_name=Goo", breaks=" \t\n") == ["model_name=Google "]
    assert ask("train with model_name=Google model_args.wi") == ["model_args.width="]
    assert ask("train with 'model_name=Goo") == ["Google "]
    assert ask("train prin")[:1] == ["print_config "]


def test_nothing_of_torch_is_imported(own, folder):
    code = f"""
import sys
from {own.package.name} import runner
runner.train_command(["train", "_complete", "fish", "with", "trainer_args."])
runner.train_command(["train", "help", "trainer_args"])
runner.evaluate_command(["evaluate", "_complete", "fish", "with", "dataset_args."])
assert not {{"torch", "pytorch_lightning", "matplotlib"}} & set(sys.modules)
"""
    env = environment(PYTHONPATH=str(own.path / "src"))
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, check=True)


def test_an_unknown_shell_is_refused(own, folder):
    done = own.module("train", "completion", "bas", cwd=folder, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "shell 'bas' is unknown: did you mean 'bash'?" in done.stdout


# -- Real shells ----------------------------------------------------------------------------------

SHELLS = {
    "bash": (["--norc", "-i"], "source <(train completion bash)"),
    "zsh": (["-f", "-i"], "bindkey -e; source <(train completion zsh)"),
    "fish": (["--no-config", "-i"], "train completion fish | source"),
}


ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\(B|[=>])")  # moves the cursor, sets colours


class Terminal:
    """A shell that believes to be in a terminal."""

    def __init__(self, command: list[str], cwd, env: dict[str, str]):
        self.process, self.handle = pty.fork()
        if self.process == 0:
            os.chdir(cwd)
            os.execvpe(command[0], command, env)
        self.shown = ""

    def type(self, keys: str, until: str) -> None:
        """Types, and waits until something has been shown since."""
        self.shown = ""
        os.write(self.handle, keys.encode())
        began = time.monotonic()
        while until not in self.shown:
            assert time.monotonic() - began < ANSWERS_WITHIN_S, self.shown
            if select.select([self.handle], [], [], 0.1)[0]:
                self.shown += os.read(self.handle, 65536).decode(errors="replace")
                self.shown = ESCAPE.sub("", self.shown)

    def close(self) -> None:
        os.close(self.handle)  # hangs up
        os.waitpid(self.process, 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in(own, folder, tmp_path_factory, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    bin_, home = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("home")
    for name in ("train", "evaluate"):
        runner = f"{own.package.name}.runner"
        (bin_ / name).write_text(f'#!/bin/sh\nexec "{own.python}" -m {runner} {name} "$@"\n')
        (bin_ / name).chmod(0o755)
    options, source = SHELLS[shell]
    env = environment(
        PYTHONPATH=str(own.path / "src"),
        PATH=f"{bin_}:{os.environ['PATH']}",
        HOME=str(home),
        TERM="xterm",
        COLUMNS="250",
    )
    terminal = Terminal([shell, *options], folder, env)
    try:
        terminal.type(f"{source}\necho REA''DY\n", "READY")
        for keys, completed in (
            ("train repr\t", "oduce"),
            ("\x15train with model_na\t", "me="),  # Ctrl-U: an empty line again
            ("Goo\t", "gle"),
            ("model_args.wi\t", "dth="),
            ("8 trainer_args.acceler\t", "ator="),
            ("cp\t", "u"),
            ("resume=CN\t", "12"),
            ("goes\t", "_on.yaml"),
        ):
            terminal.type(keys, completed)
        words = "model_name=Google model_args.width=8 trainer_args.accelerator=cpu resume=CNN/12"
        # Ctrl-A: to the beginning of the line, which is printed as the shell has it.
        terminal.type("\x01echo DO''NE \n", f"DONE train with {words} goes_on.yaml")
    finally:
        terminal.close()
