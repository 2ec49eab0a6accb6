"""Two stamped projects share an environment: a command works in its own project, or in none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DEFAULT, Project, environment


def run_as_script(project: Project, command: str, *words: str, cwd: Path, path: Path | None = None):
    """As the console script `train` of a project does."""
    code = f"import sys; from {project.package.name}.runner import {command}_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env=environment(PYTHONPATH=str(path or project.path / "src")),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def pair(stamped, tmp_path_factory) -> tuple[Project, Project]:
    """A project, and another one; both are copies that a test may write into."""
    folder = tmp_path_factory.mktemp("two")
    for name, triple in (("a", DEFAULT), ("b", ("custom", "custom", "custom"))):
        shutil.copytree(stamped[triple].path, folder / name)
    return Project(folder / "a"), Project(folder / "b")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", []),
        ("train", ["print_config"]),
        ("train", ["help", "model_args"]),
        ("evaluate", []),
        ("evaluate", ["runs"]),
    ],
)
@pytest.mark.parametrize("where", [".", "src", "notebooks/deep"])
def test_another_projects_folder_is_refused(pair, command, words, where):
    own, other = pair
    folder = other.path / where
    folder.mkdir(parents=True, exist_ok=True)
    before = set(other.path.rglob("*"))
    done = run_as_script(own, command, *words, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"UserError: `{command}` is the command of {own.package.name} ")
    assert f"belongs to {other.package.name} ({other.path})" in line
    assert f"`python -m {other.package.name}.runner {command}" in line
    assert set(other.path.rglob("*")) == before


def test_its_own_folder_and_plain_ones_are_not(pair, tmp_path):
    own, other = pair
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (own.path / "notebooks").mkdir()
    for folder in (own.path, own.path / "notebooks", tmp_path, other.path.parent):
        done = run_as_script(own, "train", "print_config", cwd=folder)
        assert done.returncode == 0, done.stderr


def test_who_says_which_project_is_meant_gets_it(pair):
    own, other = pair
    own.module("train", "print_config", cwd=other.path)
    done = run_as_script(own, "train", "completion", "bash", cwd=other.path)
    assert "_complete" in done.stdout


def test_an_installed_copy_works_in_its_projects_folder_only(pair, tmp_path):
    """Of a wheel there is no root; what lies around it is an environment."""
    own, other = pair
    shutil.copytree(own.package, tmp_path / "site" / own.package.name)
    for folder, status in ((own.path, 0), (other.path, 1), (tmp_path, 0)):
        done = run_as_script(own, "train", "print_config", cwd=folder, path=tmp_path / "site")
        assert done.returncode == status, done.stderr


def test_another_checkout_of_the_same_project_is_another(pair, tmp_path):
    own, _ = pair
    shutil.copytree(own.path, tmp_path / "worktree")
    done = run_as_script(own, "train", "print_config", cwd=tmp_path / "worktree")
    assert done.returncode == 1
    assert str(tmp_path / "worktree") in done.stderr
