"""What the tests share and is no fixture: the tables of starters, projects, commands, a mirror."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

TEMPLATE = Path(__file__).resolve().parent.parent
TREE = TEMPLATE / "{{cookiecutter.project_slug}}"
TREE_PACKAGE = TREE / "src" / "{{cookiecutter.package_name}}"
OPTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
FIXTURES = TEMPLATE / "tests" / "fixtures"
ROLES = ("dataset", "model", "evaluator")
SPLITS = ("train", "val", "test")
TRIPLES = [
    (dataset, model, evaluator)
    for dataset, models in OPTIONS["_starters"].items()
    for model, evaluators in models.items()
    for evaluator in evaluators
]
DEFAULT = TRIPLES[0]
DEBUG = ["with", "debug", "dataset_args.source=sample"]  # the quickest training there is
WHOLE = ["with", "dataset_args.source=sample", "trainer_args.max_epochs=1"]  # and no trial run
WHOLE += ["dataloader_args.batch_size=512"]
PATIENCE_S = 300  # after which a process hangs: a guard for a busy machine, no measure of speed


def covering(triples: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Fewer combinations that still have every starter, each chosen for what it adds."""
    missing, cover = {(role, name) for t in triples for role, name in zip(ROLES, t)}, []
    while missing:
        best = max(triples, key=lambda t: len(missing & set(zip(ROLES, t))))
        missing -= set(zip(ROLES, best))
        cover.append(best)
    return [triple for triple in triples if triple in cover]


COVER = covering(TRIPLES)


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


def answers(triple: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(ROLES, triple))


def read(path: Path) -> dict:
    """The content of a JSON file."""
    return json.loads(path.read_text())


# -- Commands -------------------------------------------------------------------------------------


def environment(**env: str) -> dict[str, str]:
    """This process's, less what would let a stamped project see the template's own files."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1",
        **env,
    }


def start_command(command: list, cwd: Path, stdout=subprocess.PIPE, **env: str) -> subprocess.Popen:
    """Starts a command, with its errors among its output."""
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(**env),
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_command(
    command: list, cwd: Path, check: bool = True, **env: str
) -> subprocess.CompletedProcess:
    """Runs a command and returns what it did; shows its output where it fails and should not."""
    process = start_command(command, cwd, **env)
    printed = process.communicate()[0]
    assert not check or process.returncode == 0, printed
    return subprocess.CompletedProcess(command, process.returncode, printed)


def until(process: subprocess.Popen, said: str) -> str:
    """Reads the output of a process up to the line that begins with `said`; returns it."""
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(said):
            return printed
    raise AssertionError(f"it ended without {said!r}:\n{printed}")


def finish(process: subprocess.Popen) -> str:
    """Waits for the end of a process and returns what it still printed."""
    return process.communicate(timeout=PATIENCE_S)[0]


def eventually(condition: Callable[[], bool], otherwise: str) -> None:
    """Waits for something that other processes bring about."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE_S, otherwise
        time.sleep(0.05)


# -- Projects -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A stamped project and its commands.

    Attributes:
        path: its folder.
        python: that of the environment it is installed in, or any other with its libraries.
    """

    path: Path
    python: Path = Path(sys.executable)

    @property
    def package(self) -> Path:
        return next(self.path.glob("src/*/runner.py")).parent

    def __call__(self, *words: str, cwd: Path, check: bool = True, **env: str):
        """Runs an installed command (`train`, say) and returns what it did."""
        return run_command([self.python.with_name(words[0]), *words[1:]], cwd, check, **env)

    def module(self, *words: str, cwd: Path, check: bool = True, **env: str):
        """Runs a command of a project that need not be installed: `python -m <package>.runner`."""
        return run_command([*self._runner, *words], cwd, check, **self._path(env))

    def start(self, *words: str, cwd: Path, **env: str) -> subprocess.Popen:
        """Starts the same, without waiting for it."""
        return start_command([*self._runner, *words], cwd, **self._path(env))

    def run_python(self, script: Path, cwd: Path, check: bool = True, **env: str):
        """Runs a script that imports the package."""
        return run_command([self.python, script], cwd, check, **self._path(env))

    @property
    def _runner(self) -> list:
        return [self.python, "-m", f"{self.package.name}.runner"]

    def _path(self, env: Mapping[str, str]) -> dict[str, str]:
        return {"PYTHONPATH": str(self.path / "src"), **env}


def copied(project: Project, folder: Path, plug_ins: Mapping[str, str]) -> Path:
    """Copies a project, adds files to its package, and returns the folder of the package."""
    shutil.copytree(project.path, folder)
    package = folder / "src" / project.package.name
    for name, code in plug_ins.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(code)
    return package


def install(project: Path, environment: Path) -> Project:
    """Installs a stamped project into a new environment beside the libraries of this one."""
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    words = ["--python", python, "install", "-q", "--no-deps", "--no-build-isolation"]
    run_command([sys.executable, "-m", "pip", *words, "-e", project], cwd=project)
    return Project(project, python)


def tree_module(name: str) -> ModuleType:
    """Imports a module of the unstamped tree, by its name inside the package."""
    if "tree" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "tree", TREE_PACKAGE / "__init__.py", submodule_search_locations=[str(TREE_PACKAGE)]
        )
        sys.modules["tree"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tree"])
    return importlib.import_module(f"tree.{name}")


# -- Data -----------------------------------------------------------------------------------------


def maker(dataset: str) -> ModuleType:
    """The module of the tree's tests that writes files for a dataset without a bundled sample."""
    (name,) = SIDECARS["dataset"][dataset]["tests"]
    spec = importlib.util.spec_from_file_location(name[:-3], TREE / "tests" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def everything(dataset) -> tuple:
    """All inputs and targets of a dataset, by a loader as the runner makes it."""
    import torch

    loader = torch.utils.data.DataLoader(dataset, 64, collate_fn=dataset.collate_fn)
    inputs, targets = (torch.cat(part) for part in zip(*loader, strict=True))
    return inputs, targets


@contextlib.contextmanager
def serving(folder: Path):
    """A mirror on this machine: its `folder`, its `url`, and what it was `asked` for."""
    folder.mkdir(exist_ok=True)
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(f"{self.command} {self.path}")

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_address[1]}/"
        yield SimpleNamespace(folder=folder, url=url, asked=asked)
        httpd.shutdown()
