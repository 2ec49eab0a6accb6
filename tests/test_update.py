"""What cruft does with the template: it creates, links, compares and updates projects."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import COVER, DEBUG, TREE, TRIPLES, Project, answers, environment, read
from stamping import (
    commit,
    copy_template,
    cruft,
    files,
    git,
    run_cookiecutter,
    same_bytes,
)

SLUG, PACKAGE = "my-dl-project", "src/my_dl_project"


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """This template as a git repository of its own, as cruft wants it."""
    repository = tmp_path_factory.mktemp("repository") / "dl-template"
    copy_template(repository)
    commit(repository, "template")
    return repository


# -- The same answers, the same bytes -------------------------------------------------------------


@pytest.mark.parametrize("triple", COVER, ids="-".join)
def test_cookiecutter_replay_and_cruft_agree(tmp_path, repository, triple):
    context = answers(triple) | {"project_name": 'A "B" Ö', "license": "BSD-3-Clause"}
    for name in ("once", "again"):
        done = run_cookiecutter("-o", str(tmp_path / name), **context)
        assert done.returncode == 0, done.stderr
        assert "is ready" in done.stderr
        assert done.stdout == ""
    replayed = run_cookiecutter("-o", str(tmp_path / "replay"), "--replay", no_input=False)
    assert replayed.returncode == 0, replayed.stderr
    (tmp_path / "cruft").mkdir()
    extra = ["--no-input", "--extra-context", json.dumps(context)]
    cruft(tmp_path / "cruft", "create", str(repository), *extra)
    slug = "a-b-o"
    for name in ("again", "replay"):
        assert same_bytes(tmp_path / "once" / slug, tmp_path / name / slug), name
    assert same_bytes(tmp_path / "once" / slug, tmp_path / "cruft" / slug, without=(".cruft.json",))
    answered = read(tmp_path / "once" / slug / ".dl-template.json")
    assert answered.items() >= context.items()


def test_the_record_of_cruft_holds_answers_and_no_tables(tmp_path, repository):
    cruft(tmp_path, "create", str(repository), "--no-input")
    recorded = read(tmp_path / SLUG / ".cruft.json")["context"]["cookiecutter"]
    tables = {name for name, value in recorded.items() if not isinstance(value, str)}
    assert tables == {"_copy_without_render"}
    assert recorded.items() >= read(tmp_path / SLUG / ".dl-template.json").items()


# -- A refusal says what would have worked ---------------------------------------------------------

ANSWERED = {"project_name": 'It\'s "mine" & $HOME', "project_slug": "x-1", "dataset": "cifar10"}


def stamp(command: str, folder: Path):
    """Runs a command line as it is typed into a shell, whose `cd` tells its children by PWD."""
    env = environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = f"cd {shlex.quote(str(folder))} && {command}"
    return subprocess.run(command, shell=True, capture_output=True, text=True, env=env)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("tool", ["cookiecutter", "cruft"])
def test_the_command_in_a_refusal_works(tmp_path, repository, tool, where):
    words = ["--no-input", *(["--output-dir", str(tmp_path / where)] if where != "here" else [])]
    answered = ANSWERED | {"model": "gpt", "evaluator": "language_report"}
    if tool == "cruft":
        words = ["create", str(repository), *words, "--extra-context", json.dumps(answered)]
    else:
        words = [str(repository), *words, *(f"{key}={value}" for key, value in answered.items())]
    (tmp_path / "here").mkdir()
    refused = stamp(
        f"cd {shlex.quote(str(tmp_path / 'here'))} && {shlex.join([tool, *words])}", "/"
    )
    assert refused.returncode == 1
    (command,) = re.findall(rf"^{tool} .*", refused.stderr, re.MULTILINE)
    assert ("--output-dir" in command) == (where != "here")
    done = stamp(command, tmp_path / "here")
    assert done.returncode == 0, done.stderr
    kept = read(tmp_path / where / "x-1" / ".dl-template.json")
    fitting = {"model": "resnet", "evaluator": "classification_report"}
    assert kept.items() >= (ANSWERED | fitting).items()


def test_a_refusal_for_other_reasons_promises_nothing(tmp_path):
    refused = run_cookiecutter("-o", str(tmp_path), dataset="text", model="cnn", email="nobody")
    assert refused.returncode == 1
    assert "email 'nobody'" in refused.stderr
    assert "would have worked" not in refused.stderr


# -- From cookiecutter to cruft -------------------------------------------------------------------


def test_a_project_is_linked_by_the_answers_that_it_keeps(tmp_path, repository):
    context = answers(TRIPLES[-1]) | {"project_name": 'It\'s "mine"', "project_slug": SLUG}
    assert run_cookiecutter("-o", str(tmp_path), **context).returncode == 0
    project = tmp_path / SLUG
    kept = (project / ".dl-template.json").read_text()
    cruft(project, "link", str(repository), "--no-input", "--extra-context", kept)
    recorded = read(project / ".cruft.json")["context"]["cookiecutter"]
    assert recorded.items() >= json.loads(kept).items() >= context.items()
    commit(project, "linked")
    assert cruft(project, "diff") == ""


def test_a_difference_is_a_patch_and_nothing_else(tmp_path, repository):
    cruft(tmp_path, "create", str(repository), "--no-input")
    project = tmp_path / SLUG
    (project / "Makefile").write_text("mine:\n")
    commit(project, "edits")
    patch = cruft(project, "diff")
    assert patch.startswith("diff --git ")
    (tmp_path / "x.patch").write_text(patch)
    git(project, "apply", "--check", str(tmp_path / "x.patch"))  # leads back to the template


# -- Updates --------------------------------------------------------------------------------------


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new))


def test_an_update_keeps_edits_and_brings_back_nothing(tmp_path, repository):
    cruft(tmp_path, "create", str(repository), "--no-input")
    project = tmp_path / SLUG
    config, mine = project / PACKAGE / "train_config.py", project / PACKAGE / "models" / "mine.py"
    replaced(config, "max_epochs = 5", "max_epochs = 30")
    mine.write_text("mine = True\n")
    (project / PACKAGE / "util" / "download.py").write_text("# replaced\n")
    commit(project, "edits")
    before = files(project)

    source = repository / TREE.name / "src" / "{{cookiecutter.package_name}}"
    for name in ("mnist_classifier.py", "cnn.py"):
        path = source / "models" / name
        path.write_text(path.read_text() + "# a fix\n")
    commit(repository, "fixes")
    cruft(project, "update", "--skip-apply-ask")

    assert files(project) == before
    assert "max_epochs = 30" in config.read_text()
    assert mine.read_text() == "mine = True\n"
    fixed = project / PACKAGE / "models" / "mnist_classifier.py"
    assert fixed.read_text().endswith("# a fix\n")


MY_MODEL = '''from ..util.experiment import UserError
from .mnist_classifier import MNISTModel


class MyCoolIdea(MNISTModel):
    """Of the user's own; imports what 0.4.0 had in another place."""

    def __init__(self, input_shape, num_classes, hidden_dimension=8, learning_rate=1e-2):
        if hidden_dimension < 2:
            raise UserError("hidden_dimension: at least 2")
        super().__init__(input_shape, num_classes, hidden_dimension, learning_rate)
'''
EDITS = [  # file, what 0.4.0 has there, what the user has made of it
    (f"{PACKAGE}/train_config.py", "        max_epochs = 5\n", "        max_epochs = 30  # mine\n"),
    (
        f"{PACKAGE}/train_config.py",
        '    model_name = "MNISTModel"',
        '    model_name = "MyCoolIdea"',
    ),
    (f"{PACKAGE}/eval_config.py", "        batch_size = 512", "        batch_size = 100"),
    ("README.md", "\n## Change things\n", "\n## Results\n\n98 %, we think.\n\n## Change things\n"),
]


@pytest.fixture(scope="module")
def updated(tmp_path_factory, old_template):
    """A project of 0.4.0 with edits, updated to today's template; and one stamped today."""
    folder = tmp_path_factory.mktemp("update")
    repository, project = folder / "dl-template", folder / SLUG
    shutil.copytree(old_template, repository)
    commit(repository, "0.4.0")
    cruft(folder, "create", str(repository), "--no-input")
    commit(project, "as stamped")
    before = files(project)
    for name, old, new in EDITS:
        replaced(project / name, old, new)
    (project / PACKAGE / "models" / "my_cool_idea.py").write_text(MY_MODEL)
    commit(project, "edits")

    for path in repository.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_template(repository)
    commit(repository, "today")
    cruft(project, "update", "--skip-apply-ask")
    fresh = folder / "fresh"
    fresh.mkdir()
    cruft(fresh, "create", str(repository), "--no-input")
    return project, fresh / SLUG, before


def test_edits_survive_an_update_from_0_4_0(updated):
    project, _, _ = updated
    assert (project / PACKAGE / "models" / "my_cool_idea.py").read_text() == MY_MODEL
    for name, _, new in EDITS:
        text = (project / name).read_text()
        assert new in text, name
        assert "<<<<<<<" not in text, f"{name} has a conflict"


def test_an_update_from_0_4_0_brings_everything_else(updated):
    """Old files go, new files come, and what nobody edited is what would be stamped today."""
    project, fresh, before = updated
    assert files(project) == files(fresh) | {f"{PACKAGE}/models/my_cool_idea.py"}
    assert ".dl-template.json" in files(project) - before
    for name in files(fresh) - {name for name, _, _ in EDITS} - {".cruft.json"}:
        assert (project / name).read_bytes() == (fresh / name).read_bytes(), name
    for name, old, new in EDITS:  # what the template has changed in an edited file has come, too
        replaced(fresh / name, old, new)
    for name in {name for name, _, _ in EDITS}:
        assert (project / name).read_text() == (fresh / name).read_text(), name


def test_an_update_from_0_4_0_leaves_no_table_behind(updated):
    project, fresh, _ = updated
    assert read(project / ".cruft.json") == read(fresh / ".cruft.json")


def test_an_own_model_is_told_where_the_machinery_is_now(updated):
    project, _, _ = updated
    stamped = Project(project)
    model = project / PACKAGE / "models" / "my_cool_idea.py"
    refused = stamped.module("train", *DEBUG, cwd=project, check=False)
    assert refused.returncode == 1
    (line,) = refused.stdout.splitlines()
    assert "my_cool_idea.py" in line
    (new,) = re.findall(r"`(from \S+ import) \.\.\.`", line)
    model.write_text(MY_MODEL.replace("from ..util.experiment import", new))
    done = stamped.module("train", *DEBUG, cwd=project)
    assert "MyCoolIdea/1" in done.stdout
