"""CONTRIBUTING.md adds a starter: done here word for word, then stamped, tested and trained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from helpers import TEMPLATE, Project, read, sidecars
from stamping import copy_template, files

TEXT = (TEMPLATE / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAME = "logistic_regression"


def added(to: dict, more: dict) -> dict:
    """What a person makes of "added, not replaced"."""
    for key, value in more.items():
        if isinstance(value, dict):
            added(to[key], value)
        elif key in to:
            to[key] += value
        else:
            to[key] = value
    return to


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A copy of this template with the starter of CONTRIBUTING.md."""
    folder = tmp_path_factory.mktemp("contributed") / "dl-template"
    copy_template(folder)
    blocks = re.findall(r"^`(\S+\.py)`\n```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for name, code in blocks:
        assert not (folder / name).exists()
        (folder / name).write_text(code)
    (rows,) = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    options = added(read(folder / "cookiecutter.json"), json.loads(rows))
    (folder / "cookiecutter.json").write_text(json.dumps(options, indent=2))
    return folder


def stamp(template: Path, folder: Path, **context: str) -> Project:
    path = cookiecutter(str(template), no_input=True, extra_context=context, output_dir=str(folder))
    return Project(Path(path))


def test_what_it_adds_is_clean_and_known(template):
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--extend-ignore", "N999"], ["format", "--check"]):
        done = subprocess.run([*ruff, *words, "."], cwd=template, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert set(sidecars(template)["model"]) - set(sidecars()["model"]) == {NAME}


@pytest.mark.parametrize(("dataset", "epochs"), [("mnist", 5), ("fashion_mnist", 10)])
def test_its_settings_arrive_with_their_comments(template, tmp_path, dataset, epochs):
    project = stamp(template, tmp_path, dataset=dataset, model=NAME)
    config = (project.package / "train_config.py").read_text()
    assert 'model_name = "LogisticRegression"' in config
    group = "class model_args:\n        learning_rate = 1e-3  # step size of Adam\n\n"
    assert group in config
    assert f"max_epochs = {epochs}\n" in config
    assert (
        "It starts as logistic regression (`LogisticRegression`)"
        in (project.path / "README.md").read_text()
    )
    names = {name.rpartition("/")[2] for name in files(project.path) if "/models/" in name}
    assert names == {"__init__.py", f"{NAME}.py"}


def test_comments_above_and_values_of_several_lines_arrive(template, tmp_path):
    copy = shutil.copytree(template, tmp_path / "template")
    sidecar = next(copy.glob(f"*/starters/model/{NAME}.py"))
    setting = """        # Small: the loss
        # is convex.
        learning_rate = (
            1e-3  # of Adam
        )
"""
    text = re.sub(r" +learning_rate .*\n", setting, sidecar.read_text())
    sidecar.write_text(text)
    config = (stamp(copy, tmp_path, model=NAME).package / "train_config.py").read_text()
    assert f"class model_args:\n{setting}\n" in config


def test_it_trains_and_is_absent_where_another_was_chosen(template, tmp_path):
    project = stamp(template, tmp_path, model=NAME)
    words = ["with", "dataset_args.source=sample", "trainer_args.max_epochs=2"]
    project.module("train", *words, cwd=tmp_path)
    project.module("evaluate", cwd=tmp_path)
    (results,) = tmp_path.glob("model_data/LogisticRegression/1/evaluations/1/results.json")
    assert read(results)["test_accuracy"] > 2 * read(results)["baseline_accuracy"]
    other = stamp(template, tmp_path, project_slug="other")
    assert not [name for name in files(other.path) if NAME in name]
