"""What the tests share: this project's modules, its data without the network, its commands."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SOURCES = Path(__file__).resolve().parent.parent / "src"
PACKAGE = next(SOURCES.glob("*/runner.py")).parent.name


def module(name: str):
    """A module of this project, by its name inside the package."""
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture(scope="session")
def defaults(tmp_path_factory) -> dict:
    """The default configuration of `train`, made offline."""
    config = dict(module("train_config").train_ex.configurations[0]())
    if "source" in config["dataset_args"]:
        config["dataset_args"]["source"] = "sample"
    for maker in Path(__file__).parent.glob("*_files.py"):  # where no sample is bundled
        folder = tmp_path_factory.mktemp("data")
        importlib.import_module(maker.stem).write(folder)
        config["dataset_args"]["data_dir"] = str(folder)
    return config


@pytest.fixture(scope="session")
def splits(defaults) -> dict:
    """The configured dataset: split -> dataset."""
    cls = module("engine.plugins").load("dataset", defaults["dataset_name"])
    args = module("engine.runs.building").prepare_dataset(cls, defaults["dataset_args"])
    return {split: cls(split, **args) for split in ("train", "val", "test")}


@pytest.fixture
def make_model(defaults, splits):
    """Makes the configured model, wired to the configured dataset."""

    def make():
        cls = module("engine.plugins").load("model", defaults["model_name"])
        complete = module("engine.config.signatures").complete
        return cls(**complete("model_args", cls, defaults["model_args"], splits["train"]))

    return make


@pytest.fixture
def run(tmp_path, defaults):
    """Runs a command line as a user would, in a folder of its own; returns status and output."""

    def run(*words: str) -> SimpleNamespace:
        offline = [f"dataset_args.{k}={v}" for k, v in defaults["dataset_args"].items() if v]
        if words[0] == "train" and "with" in words:
            words += tuple(offline)
        done = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE}.runner", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return SimpleNamespace(status=done.returncode, output=done.stdout, folder=tmp_path)

    return run
