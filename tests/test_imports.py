"""Every library that a stamped project imports is one that it declares."""

from __future__ import annotations

import ast
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from helpers import TRIPLES, Project
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DISTRIBUTIONS = metadata.packages_distributions()  # PIL -> pillow, lightning_fabric -> ...


def imported(folder: Path) -> dict[str, str]:
    """Top-level modules that the sources below a folder import, wherever in a file -> a file."""
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found |= {name.partition(".")[0]: path.name for name in names}
    return found


def declared(project: Path, *extras: str) -> list[str]:
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    return table["dependencies"] + [
        line for extra in extras for line in table["optional-dependencies"][extra]
    ]


def undeclared(project: Path, folder: str, *extras: str) -> dict[str, str]:
    names = {canonicalize_name(Requirement(line).name) for line in declared(project, *extras)}
    own = {path.stem for path in (project / "tests").iterdir()}
    own |= {path.name for path in (project / "src").iterdir()}
    return {
        module: file
        for module, file in imported(project / folder).items()
        if module not in sys.stdlib_module_names | own
        # Of a module that is not installed here, the distribution has the same name at best.
        and not names & {canonicalize_name(x) for x in DISTRIBUTIONS.get(module, [module])}
    }


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_every_library_that_is_imported_is_declared(stamped, triple):
    project = stamped[triple].path
    assert undeclared(project, "src") == {}
    assert undeclared(project, "tests", "dev") == {}


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_every_library_that_is_declared_is_imported(stamped, triple):
    """But for TensorBoard, whose writer Lightning's logger and whose viewer the user looks for."""
    project = stamped[triple].path
    distributions = {
        canonicalize_name(x)
        for name in imported(project / "src")
        for x in DISTRIBUTIONS.get(name, [])
    }
    names = {canonicalize_name(Requirement(line).name) for line in declared(project)}
    assert names - distributions == {"tensorboard"}


def test_a_library_that_is_not_declared_is_found(stamped, tmp_path):
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["pillow>=1", "numpy"]\n')
    (package / "a.py").write_text("import numpy\nfrom PIL import Image\n\nfrom . import b\n")
    (package / "b.py").write_text("def f():\n    from matplotlib import pyplot\n    import os\n")
    assert undeclared(tmp_path, "src") == {"matplotlib": "b.py"}


def reachable(requirements: list[str]) -> set[str]:
    """Distributions that an installer takes for these, as far as they are installed here."""
    done, todo = {}, [Requirement(line) for line in requirements]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - done.setdefault(name, set()):
            done[name].add(extra)
            for line in metadata.requires(name) or ():
                requirement = Requirement(line)
                marker = requirement.marker
                if marker is None or marker.evaluate({"extra": extra}):
                    todo.append(requirement)
    return set(done)


def environment_of(requirements: list[str], folder: Path) -> Path:
    """An environment that has these and what they need, and nothing else; returns its Python."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in reachable(requirements):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
        for top in tops:
            (site / top).symlink_to(distribution.locate_file(top))
    return folder / "bin" / "python"


def test_every_command_works_with_the_declared_libraries_alone(stamped, tmp_path):
    """`evaluate compare` draws, whatever evaluator was chosen."""
    path = stamped["custom", "custom", "custom"].path
    python = environment_of(declared(path), tmp_path / "env")
    missing = subprocess.run([python, "-c", "import pytest"], capture_output=True)
    assert missing.returncode != 0, "the environment has more than was declared"
    project = Project(path, python)

    def run(*words: str) -> str:
        return project.module(*words, cwd=tmp_path, PYTHONNOUSERSITE="1").stdout

    for seed in (1, 2):
        run("train", "with", "debug", f"seed={seed}")
    run("evaluate", "with", "runs=all")
    assert "CustomModel/2" in run("evaluate", "runs")
    assert "CustomModel" in run("evaluate", "compare", "with", "runs=[1,2]")
    assert list(tmp_path.rglob("*.html"))
    assert "identical" in run("train", "reproduce", "with", "run=1")
