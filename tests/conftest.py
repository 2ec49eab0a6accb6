"""Stamps the template once for each combination that it offers, and installs what it stamped."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
import venv
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
TREE = TEMPLATE / "{{cookiecutter.project_slug}}"
OPTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
FIXTURES = TEMPLATE / "tests" / "fixtures"
ROLES = ("dataset", "model", "evaluator")
TRIPLES = [
    (dataset, model, evaluator)
    for dataset, models in OPTIONS["_starters"].items()
    for model, evaluators in models.items()
    for evaluator in evaluators
]
DEFAULT = TRIPLES[0]


def sidecars(template: Path = TEMPLATE) -> dict[str, dict[str, dict]]:
    """What each starter says about itself: role -> name -> the names in its sidecar.

    The hook reads the same files without running them; a second way finds what the first overlooks.
    """
    found = {role: {} for role in ROLES}
    for path in sorted(template.glob("*/starters/*/*.py")):
        row = {"requires": [], "tests": [], "readme": ""} | runpy.run_path(str(path))
        row["about"] = row["__doc__"]
        found[path.parent.name][path.stem] = row
    return found


SIDECARS = sidecars()
DEBUG = ["with", "debug", "dataset_args.source=sample"]  # the quickest training there is


def pytest_collection_modifyitems(items):
    """Makes what shares costly fixtures run on one worker: a file, or a combination of starters."""
    for item in items:
        triple = getattr(item, "callspec", None) and item.callspec.params.get("trained")
        group = "-".join(triple) if triple else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


def answers(triple: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(ROLES, triple))


def read(path: Path) -> dict:
    """The content of a JSON file."""
    return json.loads(path.read_text())


@dataclass(frozen=True)
class Project:
    """A stamped project and, once installed, its commands."""

    path: Path
    python: Path | None = None

    @property
    def package(self) -> Path:
        return next(self.path.glob("src/*/runner.py")).parent

    def __call__(self, *words: str, cwd: Path, check: bool = True, **env: str):
        """Runs an installed command (`train`, say) and returns what it did."""
        assert self.python, "the project is stamped but not installed"
        done = subprocess.run(
            [self.python.with_name(words[0]), *words[1:]],
            cwd=cwd,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout
        return done


def copied(project: Project, folder: Path, plug_ins: dict[str, str]) -> Path:
    """Copies a project, adds files to its package, and returns the folder of the package."""
    shutil.copytree(project.path, folder)
    package = folder / "src" / project.package.name
    for name, code in plug_ins.items():
        (package / name).write_text(code)
    return package


def environment(**env: str) -> dict[str, str]:
    """This process's, less what would let a stamped project see the template's own files."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1",
        **env,
    }


def run_module(project: Project, *words: str, cwd: Path, env: dict[str, str], check: bool = True):
    """Runs a command of a stamped project that is not installed: `python -m <package>.runner`."""
    done = subprocess.run(
        [project.python or sys.executable, "-m", f"{project.package.name}.runner", *words],
        cwd=cwd,
        env=env | {"PYTHONPATH": str(project.path / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout
    return done


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


@contextlib.contextmanager
def serving(folder: Path):
    """A mirror on this machine: its `folder`, its `url`, and what it was `asked` for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(f"{self.command} {self.path}")

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_address[1]}/"
        yield SimpleNamespace(folder=folder, url=url, asked=asked)
        httpd.shutdown()


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


def install(project: Path, environment: Path) -> Project:
    """Installs a stamped project into a new environment beside the libraries of this one."""
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
        + ["--no-build-isolation", "-e", project],
        check=True,
    )
    return Project(project, python)


@pytest.fixture(scope="session")
def tree():
    """Imports a module of the unstamped tree, by its name inside the package."""
    init = TREE / "src" / "{{cookiecutter.package_name}}" / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        "tree", init, submodule_search_locations=[str(init.parent)]
    )
    sys.modules["tree"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tree"])
    return lambda name: importlib.import_module(f"tree.{name}")
