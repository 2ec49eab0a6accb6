"""Stamps, updates and compares by the commands that a person types."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import TEMPLATE, environment


def files(folder: Path) -> set[str]:
    """Names of all files but git's own."""
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in names if not name.startswith(".git/")}


def same_bytes(left: Path, right: Path, without: tuple[str, ...] = ()) -> bool:
    names = files(left)
    assert names == files(right) - set(without)
    return filecmp.cmpfiles(left, right, names, shallow=False)[1:] == ([], [])


def run_cookiecutter(*words: str, no_input: bool = True, **context: str):
    command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), *words]
    if no_input:
        command += ["--no-input", *(f"{key}={value}" for key, value in context.items())]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def replay_file() -> Path:
    return Path(os.environ["COOKIECUTTER_CONFIG"]).parent / "replay" / f"{TEMPLATE.name}.json"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", *identity, *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, env=environment()
    ).stdout


def commit(folder: Path, message: str) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def cruft(folder: Path, *words: str) -> str:
    """Runs cruft and returns what it wrote to its standard output."""
    command = [sys.executable, "-m", "cruft", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_template(folder: Path) -> None:
    """Copies the files of this checkout that git knows or would add, as they are now."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (TEMPLATE / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TEMPLATE / name, folder / name)
