"""Fixtures: the template stamped once for each combination that it offers, installed, copied."""

from __future__ import annotations

import shutil
import tarfile
from functools import partial
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from forks import Forks
from helpers import (
    DEFAULT,
    FIXTURES,
    TEMPLATE,
    TREE,
    Project,
    answers,
    copied,
    install,
    serving,
    tree_module,
)

SLOW = {"installed", "copy_project", "forks", "old_template"}  # fixtures of tests that train


def pytest_collection_modifyitems(items):
    """Makes what shares costly fixtures run on one worker: a file, or a combination of starters.

    What is installed, copied or forked trains in a process of its own: `make quick` leaves it out.
    """
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        triple = params.get("trained") or params.get("covered")
        group = "-".join(triple) if triple else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
        if SLOW & set(item.fixturenames):
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Settings and replays of our own, and a place for the rendered hooks that stay behind."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f"cookiecutters_dir: {home}/templates\nreplay_dir: {home}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr("tempfile.tempdir", None)
        yield


class Stamped(dict):
    """Each combination that the questions allow, stamped when it is asked for."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def __missing__(self, triple: tuple[str, str, str]) -> Project:
        context = answers(triple) | {"project_slug": "-".join(triple).replace("_", "-")}
        folder = str(self.folder)
        path = cookiecutter(str(TEMPLATE), no_input=True, extra_context=context, output_dir=folder)
        self[triple] = Project(Path(path))
        return self[triple]


@pytest.fixture(scope="session")
def stamped(tmp_path_factory) -> Stamped:
    return Stamped(tmp_path_factory.mktemp("stamped"))


@pytest.fixture(scope="session")
def installed(stamped, tmp_path_factory):
    """Installs a stamped project into an environment of its own, once: triple -> Project.

    The libraries are those of this environment; the project itself goes through pip, so its
    console commands are real.
    """
    done = {}

    def install_once(triple: tuple[str, str, str] = DEFAULT) -> Project:
        if triple not in done:
            done[triple] = install(stamped[triple].path, tmp_path_factory.mktemp("env"))
        return done[triple]

    return install_once


@pytest.fixture(scope="session")
def copy_project(stamped, tmp_path_factory):
    """Copies a stamped project and adds plug-ins to it: ({file in the package: code}) -> Project.

    It is not installed: its commands are `project.module("train", ...)`.
    """

    def copy(plug_ins=(), triple: tuple[str, str, str] = DEFAULT) -> Project:
        folder = tmp_path_factory.mktemp("own") / "project"
        copied(stamped[triple], folder, dict(plug_ins))
        return Project(folder)

    return copy


@pytest.fixture(scope="session")
def forks():
    """Runs commands of any project in forks of one process that has imported the libraries."""
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def shaky(copy_project) -> Project:
    """A project with a model and a dataset that leave much to chance."""
    from shaky import PLUG_INS

    return copy_project(PLUG_INS)


@pytest.fixture
def fork(shaky, forks):
    """Runs its commands: (folder, words, signal, after seconds or at a file) -> exit status."""
    return partial(forks, shaky)


@pytest.fixture
def server(tmp_path):
    """A mirror on this machine: its `folder`, its `url`, and what it was `asked` for."""
    with serving(tmp_path / "mirror") as server:
        yield server


@pytest.fixture(scope="session")
def old_template(tmp_path_factory) -> Path:
    """The template of 0.4.0, with the data that it shares with this one."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURES / "template-0.4.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    datasets = Path("src", "{{cookiecutter.package_name}}", "datasets")
    for pattern in ("*_sample", "shakespeare", "mauna_loa", "penguins"):
        for source in (TREE / datasets).glob(pattern):
            target = folder / TREE.name / datasets / source.name
            shutil.copytree(source, target, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tree():
    """Imports a module of the unstamped tree, by its name inside the package."""
    return tree_module
