"""Decisions before a run see the whole configuration: presets and files as well as what is typed.

Which run is resumed, reproduced or evaluated, in which folder, of which model, by which arguments.
Each case is said in three ways: by a preset in the `*_config.py`, in YAML, and in JSON.
"""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from helpers import WHOLE, read

OTHER = """
from .mnist_classifier import MNISTModel


class Other(MNISTModel):
    pass
"""
QUICK = """
from . import Evaluator


class Quick(Evaluator):
    def __init__(self, batch_size: int, num_bins: int = 15):
        self.num_bins = num_bins

    def evaluate(self, model, dataset):
        return {"test_bins": self.num_bins}
"""
ELSEWHERE = {"log_dir": "elsewhere"}
SAID = {  # program -> name of the preset or file -> what it says
    "train": {
        "where": ELSEWHERE,
        "goes_on": ELSEWHERE | {"resume": "MNISTModel/1"},
        "other": ELSEWHERE | {"model_name": "Other"},
        "mistyped": {"trainer_args": {"max_epoch": 2}},
    },
    "evaluate": {
        "where": ELSEWHERE,
        "first": ELSEWHERE | {"run": "MNISTModel/1"},
        "other": ELSEWHERE | {"model_name": "Other"},
        "bins": ELSEWHERE | {"evaluator_args": {"num_bins": 3}},
        "everything": ELSEWHERE | {"runs": "all"},
        "completed": ELSEWHERE | {"status": "COMPLETED"},
        "both": ELSEWHERE | {"runs": ["MNISTModel/1", "Other/1"]},
        "mistyped": {"evaluator_args": {"bins": 3}},
    },
}
FURTHER = "trainer_args.max_epochs=2"


@pytest.fixture(scope="module")
def project(copy_project):
    project = copy_project({"models/other.py": OTHER, "evaluators/quick.py": QUICK})
    evaluation = project.package / "eval_config.py"
    evaluation.write_text(evaluation.read_text().replace('"ClassificationReport"', '"Quick"'))
    for program, file in (("train", "train_config.py"), ("evaluate", "eval_config.py")):
        with (project.package / file).open("a") as config:
            for name, content in SAID[program].items():
                ex = "train_ex" if program == "train" else "evaluation_ex"
                lines = "".join(f"    {key} = {value!r}\n" for key, value in content.items())
                config.write(f"\n\n@{ex}.named_config\ndef {name}():\n{lines}")
    return project


@pytest.fixture(scope="module")
def trained(project, forks, tmp_path_factory):
    """A run of each model, in a folder that no default names."""
    folder = tmp_path_factory.mktemp("runs")
    words = [*WHOLE[1:], "model_args.hidden_dimension=4"]
    for model in ("MNISTModel", "Other"):
        model = f"model_name={model}"
        forks.run(project, "train", "with", *words, "log_dir=elsewhere", model, cwd=folder)
    return folder / "elsewhere"


@pytest.fixture(params=["preset", "yaml", "json"])
def command(request, project, forks, trained, tmp_path):
    """Runs a command whose word in braces is replaced by the preset's name, or by a file."""
    shutil.copytree(trained, tmp_path / "elsewhere")
    write = {"yaml": yaml.safe_dump, "json": json.dumps}

    def replaced(program: str, word: str) -> str:
        if not word.startswith("{"):
            return word
        name = word.strip("{}")
        if request.param == "preset":
            return name
        file = tmp_path / f"{name}.{request.param}"
        file.write_text(write[request.param](SAID[program][name]))
        return file.name

    def command(line: str, status: int = 0) -> str:
        program, *words = line.split()
        words = [program, *(replaced(program, word) for word in words)]
        assert forks(project, tmp_path, words) == status, (tmp_path / "log.txt").read_text()
        assert not (tmp_path / "model_data").exists()
        return (tmp_path / "log.txt").read_text()

    command.runs = tmp_path / "elsewhere"
    return command


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"train with {{goes_on}} {FURTHER}", "resume MNISTModel/1 from last.ckpt"),
        (f"train with {{where}} resume=last {FURTHER}", "resume Other/1 from last.ckpt"),
        (f"train with {{other}} resume=1 {FURTHER}", "resume Other/1 from last.ckpt"),
        ("train print_config with {goes_on}", "hidden_dimension = 4"),
        ("train reproduce with {where} run=1", "identical: weights and metrics are those of MN"),
        ("evaluate with {where}", "run    Other/1 (COMPLETED)"),
        ("evaluate with {first}", "run    MNISTModel/1 (COMPLETED)"),
        ("evaluate with {other} run=1", "run    Other/1 (COMPLETED)"),
        ("evaluate with {where} runs=all", "done   2 runs evaluated by Quick"),
        ("evaluate with {everything}", "done   2 runs evaluated by Quick"),
        ("evaluate runs with {where}", "Other/1 "),
        ("evaluate runs with {completed}", "MNISTModel/1 "),
        ("evaluate compare with {where} runs=[1,Other/1]", "stored elsewhere/comparisons/1/"),
        ("evaluate compare with {both}", "stored elsewhere/comparisons/1/"),
        ("evaluate clean with {where}", "elsewhere/Other/1/checkpoints/last.ckpt"),
    ],
)
def test_what_a_preset_or_file_says_decides(command, line, said):
    assert said in command(line)


def test_what_is_typed_wins(command):
    printed = command(f"train with {{goes_on}} resume=Other/1 {FURTHER}")
    assert "resume Other/1 from last.ckpt" in printed
    assert "run    Other/1 (COMPLETED)" in command("evaluate with {first} run=Other/1")


def test_a_new_run_is_stored_where_the_file_says(command):
    """And has no arguments that `train_config.py` sets for another model."""
    command("train with debug {other} dataset_args.source=sample")
    config = read(command.runs / "Other" / "2" / "config.json")
    assert (config["model_name"], config["model_args"]) == ("Other", {})


def test_a_resumed_run_has_its_own_configuration(command):
    command(f"train with {{goes_on}} {FURTHER}")
    run = command.runs / "MNISTModel" / "1"
    assert read(run / "run.json")["attempts"][1]["changes"] == {FURTHER.partition("=")[0]: 2}
    assert read(run / "config.json")["model_args"]["hidden_dimension"] == 4
    assert not (command.runs / "MNISTModel" / "2").exists()


def test_an_evaluator_has_the_arguments_of_the_file(command):
    command("evaluate with {bins}")
    (evaluation,) = command.runs.glob("Other/1/evaluations/*")
    assert read(evaluation / "results.json") == {"test_bins": 3}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train with {mistyped}", "did you mean 'max_epochs'?"),
        ("evaluate with {where} {mistyped}", "did you mean 'num_bins'?"),
    ],
)
def test_a_typo_in_a_preset_or_file_is_refused(command, line, said):
    (refusal,) = command(line, status=1).splitlines()
    assert refusal.startswith("UserError: ")
    assert said in refusal
