"""What the tests share: a quiet Lightning, and this project's commands."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from plug_ins import PACKAGE, ROOT, module


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """In the folder of the project, where `data/` is; without Lightning's advice."""
    monkeypatch.chdir(ROOT)
    module("engine.plugins").import_lightning()


@pytest.fixture
def run(tmp_path):
    """Runs a command line as a user would, with runs in a folder of their own."""

    def run(program: str, *words: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE.name}.runner", program, "with", *words]
            + [f"log_dir={tmp_path}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return SimpleNamespace(status=done.returncode, output=done.stdout)

    return run
