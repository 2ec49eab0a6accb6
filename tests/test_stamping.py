"""What is stamped: the right files, clean; and nothing at all where answers do not fit."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from helpers import (
    COVER,
    DEFAULT,
    OPTIONS,
    ROLES,
    SIDECARS,
    TEMPLATE,
    TREE,
    TRIPLES,
    answers,
    environment,
)
from stamping import files, replay_file, run_cookiecutter, same_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROWS = [(role, name, row) for role, table in SIDECARS.items() for name, row in table.items()]
STARTERS = OPTIONS["_starters"]


@cache
def tree_files() -> set[str]:
    """Files of the tree by git, so that caches do not count."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z", "--", TREE.name]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=True)
    found = {name.split("/", 1)[1] for name in listed.stdout.split("\0") if name}
    return {name for name in found if (TREE / name).exists()}


def chosen_rows(triple) -> list[dict]:
    return [SIDECARS[role][option] for role, option in zip(ROLES, triple)]


def starter_files(row) -> set[str]:
    owned = {f"src/{{{{cookiecutter.package_name}}}}/{name}" for name in row["files"]}
    owned |= {f"tests/{name}" for name in row.get("tests", ())}
    return {f for f in tree_files() for own in owned if f == own or f.startswith(f"{own}/")}


# -- The table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_options_starters_and_labels_are_the_same(role):
    options = OPTIONS[role] if role == "dataset" else OPTIONS[role][1:]
    labels = set(OPTIONS["__prompts__"][role]) - {"__prompt__"}
    place = ROLES.index(role)
    fitting = [triple[place] for triple in TRIPLES]
    assert set(options) == labels == set(SIDECARS[role]) == set(fitting)
    assert options[0] == DEFAULT[place]


def test_every_public_question_has_a_label():
    public = {key for key in OPTIONS if not key.startswith("_")}
    assert public == set(OPTIONS["__prompts__"])
    assert set(OPTIONS["license"]) | {"__prompt__"} == set(OPTIONS["__prompts__"]["license"])


def test_starter_files_exist_and_every_plug_in_belongs_to_a_starter():
    owned = set()
    for role, name, row in ROWS:
        assert starter_files(row), f"{role} {name} has no files"
        owned |= starter_files(row)
    plug_ins = r"/(models|datasets|evaluators)/|^tests/\w+_files.py$"
    found = {name for name in tree_files() if re.search(plug_ins, name)}
    of_every_project = {
        name for name in found if name.endswith(("__init__.py", "/by_test_step.py"))
    }
    assert found - owned == of_every_project


def test_the_version_is_that_of_the_changelog():
    (newest, *_) = re.findall(r"^## (\S+)", (TEMPLATE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert OPTIONS["_version"] == newest


FIELDS = {"class_name": str, "files": list, "tests": list, "requires": list, "readme": str}
FIELDS |= {"score": str, "baseline": str, "about": str}
CONFIGS = ("train_config", "train_config_for", "eval_config", "eval_config_for")


@pytest.mark.parametrize(
    ("role", "name", "row"), ROWS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_sidecars_say_what_the_hook_understands(role, name, row):
    """A name that is mistyped there would be overlooked."""
    assert row["about"]
    assert not row["about"].endswith(".")  # it stands within a sentence of the README
    code = (TREE / "src" / "{{cookiecutter.package_name}}" / row["files"][0]).read_text()
    assert f"class {row['class_name']}(" in code
    fitting = {dataset for dataset, *others in TRIPLES if name in (dataset, *others)}
    for key in (key for key in row if not key.startswith("__")):
        if key not in CONFIGS:
            assert isinstance(row[key], FIELDS[key]), key
        groups = vars(row[key]) if key in CONFIGS else {}
        if key.endswith("_for"):
            datasets = {name for name in groups if not name.startswith("__")}
            assert datasets <= fitting, key
            groups = {group for dataset in datasets for group in vars(groups[dataset])}
        config = key.removesuffix("_for")
        for group in (group for group in groups if not group.startswith("__")):
            text = (TREE / "src" / "{{cookiecutter.package_name}}" / f"{config}.py").read_text()
            assert f"    class {group}:\n" in text, f"{config} has no group {group}"


def test_names_of_all_dependencies_are_taken():
    text = (TREE / "pyproject.toml").read_text() + (TREE / "constraints.txt").read_text()
    names = set(re.findall(r'^ *"?([a-z][a-z_-]*)[>=]=', text, re.MULTILINE))
    names |= set(re.findall(r'"([a-z-]+)>=', text))
    assert {"torch", "sacred", "ruff", "pre-commit"} <= names
    hook = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text()
    for name in names:
        assert f'"{name.replace("-", "_")}"' in hook, f"package_name {name} would be accepted"


# -- What is stamped ------------------------------------------------------------------------------


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_exactly_the_chosen_files(stamped, triple):
    project = stamped[triple]
    chosen = {name for row in chosen_rows(triple) for name in starter_files(row)}
    others = {f for _, _, row in ROWS for f in starter_files(row)} - chosen
    expected = {
        name.replace("{{cookiecutter.package_name}}", project.package.name)
        for name in tree_files() - others
        if not name.startswith(("LICENSE.", "starters/"))
    }
    assert files(project.path) == expected | {"LICENSE", ".dl-template.json"}
    assert not [p for p in project.path.rglob("*") if p.is_dir() and not any(p.iterdir())]


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_everything_is_rendered_and_parses(stamped, triple):
    project = stamped[triple].path
    for name in files(project):
        content = (project / name).read_bytes()
        if name.endswith(".gz"):
            continue
        text = content.decode("utf-8")
        assert "\r" not in text, name
        assert "cookiecutter" not in text, name
        if not name.startswith(".github/"):  # whose own braces are meant
            assert not re.search(r"\{\{|\{%|\{#|\[\[(dataset|model|evaluator)\.", text), name
        if name.endswith(".py"):
            ast.parse(text, name)
        elif name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith((".yml", ".yaml")):
            assert yaml.safe_load(text), name


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_nothing_of_another_starter_is_left(stamped, triple):
    """Neither a class, nor a dependency, nor a paragraph."""
    project = stamped[triple].path
    everything = "\n".join(
        (project / n).read_text("utf-8") for n in files(project) if not n.endswith((".gz", ".txt"))
    )
    needed = {name for row in chosen_rows(triple) for name in row["requires"]}
    for role, option, row in ROWS:
        named = re.search(rf"\b{row['class_name']}\b", everything) is not None
        assert named == (option == triple[ROLES.index(role)]), row["class_name"]
        for name in row["requires"]:
            assert (f'"{name}>=' in everything) == (name in needed), name
    readme = (project / "README.md").read_text()
    for option, row in SIDECARS["dataset"].items():
        assert (row["readme"] in readme) == (option == triple[0]), option


@pytest.mark.parametrize("triple", TRIPLES, ids="-".join)
def test_linters_pass(stamped, triple):
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
            cwd=stamped[triple].path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_default_wiring_is_that_of_the_tree(stamped):
    """So a project stamped without hooks trains, too, and sidecars say what the files say."""
    package = stamped[DEFAULT].package
    for name in ("train_config.py", "eval_config.py"):
        unstamped = TREE / "src" / "{{cookiecutter.package_name}}" / name
        assert (package / name).read_text() == unstamped.read_text()


def test_sources_of_the_tree_are_plain_python():
    for name in tree_files():
        if name.endswith(".py"):
            text = (TREE / name).read_text()
            assert "cookiecutter" not in text, name
            ast.parse(text, name)


@pytest.mark.parametrize("license", OPTIONS["license"])
def test_licences(cookies, license):
    result = cookies.bake(extra_context={"license": license, "full_name": "Ada Lovelace"})
    assert result.exit_code == 0
    text = (result.project_path / "LICENSE").read_text()
    title = {"MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause", "Apache-2.0": "Apache License"}
    assert title.get(license, "All rights reserved") in text
    assert f"{result.context['copyright_year']}" in text
    assert "Ada Lovelace" in text


def test_constraints_are_stamped_whole(stamped):
    """Whatever was chosen: a library that is left out would be installed anyway, without a pin."""
    for triple in COVER:
        constraints = (stamped[triple].path / "constraints.txt").read_bytes()
        assert constraints == (TREE / "constraints.txt").read_bytes()


def test_settings_for_a_dataset_go_over_those_for_all(stamped):
    """Both with their comments: what is not named for the dataset stays."""
    package = stamped["cifar10", "vit", "classification_report"].package
    config = (package / "train_config.py").read_text()
    assert "        patch_size = 4  # pixels of a patch's side\n" in config
    assert "        num_heads = 4  # attention heads in a block\n" in config
    assert "        max_epochs = 60\n" in config
    assert '        accelerator = "auto"  # ' in config
    assert "hidden_dimension" not in config


# -- What is refused ------------------------------------------------------------------------------

MISFITS = [
    (dataset, model, evaluator)
    for dataset, models in STARTERS.items()
    for model, evaluator in itertools.product(SIDECARS["model"], SIDECARS["evaluator"])
    # Of the models that do not fit, one evaluator each is enough.
    if evaluator not in models.get(model, [*SIDECARS["evaluator"]][1:])
]


@pytest.mark.parametrize("triple", MISFITS, ids="-".join)
def test_what_does_not_fit_leaves_nothing(cookies, capfd, tmp_path, triple):
    result = cookies.bake(extra_context=answers(triple))
    assert result.exit_code != 0
    assert result.project_path is None
    message = capfd.readouterr().err
    dataset, model, evaluator = triple
    fitting = STARTERS[dataset].get(model)
    if fitting is None:
        assert f"model {model!r} does not fit dataset {dataset!r}: use " in message
        fitting = STARTERS[dataset]
    else:
        assert f"evaluator {evaluator!r} does not fit model {model!r} on dataset" in message
    assert f"use {' or '.join(sorted(fitting))}\n" in message
    assert not list((tmp_path / "cookies").rglob("my-dl-project"))


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    mine = tmp_path / "my-dl-project" / "src" / "my_dl_project" / "models" / "gpt.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine = True\n")
    done = run_cookiecutter("-f", "-o", str(tmp_path))
    assert done.returncode == 1
    assert "cruft update" in done.stderr
    assert files(tmp_path) == {"my-dl-project/src/my_dl_project/models/gpt.py"}
    assert mine.read_text() == "mine = True\n"


def test_replayed_answers_are_checked_again(tmp_path):
    """cookiecutter itself does not check them."""
    replay = tmp_path / "replay.json"
    done = run_cookiecutter("-o", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    context = json.loads(replay_file().read_text())
    context["cookiecutter"] |= {"dataset": "imagenet", "license": "GPL"}
    replay.write_text(json.dumps(context))
    done = run_cookiecutter("-o", str(tmp_path / "b"), "--replay-file", str(replay), no_input=False)
    assert done.returncode == 1
    assert "dataset 'imagenet'" in done.stderr
    assert "license 'GPL'" in done.stderr
    assert files(tmp_path / "b") == set()


# -- The hooks ------------------------------------------------------------------------------------


def pythons() -> list[str]:
    """Every supported Python that is here, by name; this one at least."""
    found = {}
    for minor in range(10, 15):
        candidates = [shutil.which(f"python3.{minor}")]
        candidates += sorted(Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python"))
        for candidate in filter(None, candidates):
            if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
                found[minor] = str(candidate)
    return [found[minor] for minor in sorted(found)] or [sys.executable]


@pytest.mark.parametrize("python", pythons(), ids=lambda p: re.search(r"3\.\d+", p + " 3.x")[0])
def test_hooks_run_on_every_python(tmp_path, monkeypatch, stamped, python):
    """The hooks are run by cookiecutter's own Python: point it at another."""
    monkeypatch.setattr("sys.executable", python)
    monkeypatch.setattr("cookiecutter.hooks.sys.executable", python)
    from cookiecutter.main import cookiecutter

    slug = stamped[DEFAULT].path.name
    context = {"project_slug": slug}
    path = cookiecutter(str(TEMPLATE), no_input=True, extra_context=context, output_dir=tmp_path)
    assert same_bytes(Path(path), stamped[DEFAULT].path)


def test_a_stray_module_in_the_folder_of_temporary_files_is_not_imported(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name in ("json", "shutil", "re"):
        (temporary / f"{name}.py").write_text("raise SystemExit('a stray module was imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", tmp_path / "out"],
        env=environment(TMPDIR=str(temporary)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
