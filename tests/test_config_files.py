"""A configuration is data, wherever it comes from: what is read never runs code."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest
from helpers import DEFAULT, WHOLE

PLANTED = {"py/reduce": [{"py/function": "os.mkdir"}, {"py/tuple": ["planted"]}]}


@pytest.fixture(scope="module")
def runner(stamped):
    project = stamped[DEFAULT]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project.path / "src"))
        yield importlib.import_module(f"{project.package.name}.runner")


@pytest.fixture
def type_words(runner, tmp_path, monkeypatch, capfd):
    """Types a command: its words -> exit status and what was printed."""
    monkeypatch.chdir(tmp_path)

    def type_words(*words: str) -> tuple[int, str]:
        experiment = {"train": runner.train_ex, "evaluate": runner.evaluation_ex}[words[0]]
        status = 0
        try:
            experiment.run_commandline([*words])
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        out, err = capfd.readouterr()
        return status, out + err

    return type_words


FILES = [  # name, content, what the one line says
    ("reduce.json", json.dumps({"log_dir": PLANTED}), "reduce.json: log_dir: 'py/reduce'"),
    ("deep.json", json.dumps({"model_args": {"x": [PLANTED]}}), "describes an object"),
    ("object.yaml", "log_dir: !!python/object/apply:os.mkdir [planted]\n", "object.yaml, line 1:"),
    ("name.yml", "seed: 1\nmodel_name: !!python/name:os.mkdir\n", "name.yml, line 2:"),
    ("planted.pickle", "cos\nmkdir\n(S'planted'\ntR.", "is .json or .yaml, not '.pickle'"),
    ("broken.json", '{"seed": 1,\n "threads": }', "broken.json, line 2: no JSON"),
    ("broken.yaml", "seed: 1\nthreads: [1, 2\nlog_dir: x\n", "broken.yaml, line 3"),
    ("list.yaml", "- seed\n", "holds no configuration"),
    ("number.yaml", "1: 2\n", "the key 1 is no text"),
    ("latin.yaml", b"log_dir: caf\xe9\n", "latin.yaml cannot be read"),
]


@pytest.mark.parametrize("command", ["train", "train print_config", "evaluate", "evaluate runs"])
@pytest.mark.parametrize(("name", "content", "said"), FILES)
def test_a_file_that_is_no_plain_configuration_is_refused(
    type_words, tmp_path, command, name, content, said
):
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(content)
    status, printed = type_words(*command.split(), "with", name)
    assert status == 1
    assert said in printed
    assert len(printed.strip().splitlines()) == 1, printed
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_value_on_the_command_line_runs_nothing(type_words, tmp_path):
    for key in ("model_args", "log_dir", "trainer_args.callbacks"):
        status, printed = type_words("train", "with", f"{key}={PLANTED}")
        assert status == 1, printed
        assert len(printed.strip().splitlines()) == 1, printed
    assert not list(tmp_path.iterdir())


def test_numbers_of_yaml_are_those_of_version_1_2(runner, tmp_path):
    files = importlib.import_module(f"{runner.__package__}.engine.config.files")
    path = tmp_path / "values.yaml"
    path.write_text(
        "a: [1e-4, 1E5, -.5, 3., 010, +7, .inf]\nb: [yes, no, on, 1:30, 2024-01-01, 1_000]\n"
        "c: [true, False, null, ~, 'x', \"1\"]\nmodel_args.width: 64\nmodel_args: {depth: 2}\n"
    )
    assert files.read_config_file(str(path)) == {
        "a": [1e-4, 1e5, -0.5, 3.0, 10, 7, float("inf")],
        "b": ["yes", "no", "on", "1:30", "2024-01-01", "1_000"],
        "c": [True, False, None, None, "x", "1"],
        "model_args": {"width": 64, "depth": 2},
    }
    old = tmp_path / "old.json"  # how sacred 0.8.7 wrote a tuple
    old.write_text('{"model_args": {"betas": {"py/tuple": [0.9, 0.95]}}}')
    assert files.read_config_file(str(old)) == {"model_args": {"betas": (0.9, 0.95)}}


def test_links_in_a_runs_folder_lead_no_write_out_of_it(type_words, tmp_path):
    words = ["dataset_args.source=sample", "trainer_args.max_epochs=3"]
    assert type_words("train", "with", "debug", *words)[0] == 0
    run, outside = Path("model_data/MNISTModel/1"), tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    for name in ("lock", "cout.txt", "metrics.jsonl"):
        (run / name).rename(run / "kept")
        (run / name).symlink_to(outside / "file")
        status, printed = type_words("train", "with", "resume=1", "trainer_args.max_epochs=4")
        assert status == 1
        assert f"{name} is a link" in printed
        (run / name).unlink()
        (run / "kept").rename(run / name)
    (run / "hparams.yaml").unlink()  # TensorBoard's logger would write through a link to nothing
    for name in ("hparams.yaml", "attempts/2/sources", "resources/x", "profile.txt"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).symlink_to(outside / "made")
        status, printed = type_words("train", "with", "resume=1", "trainer_args.max_epochs=4")
        assert status == 1
        assert f"{name} is a link" in printed
        (run / name).unlink()
    (run / "evaluations").symlink_to(outside)
    status, printed = type_words("evaluate", "with", "run=1")
    assert status == 1
    assert "evaluations is a link" in printed
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "precious"


def test_control_characters_of_files_are_shown_as_text(type_words, tmp_path):
    words = ["dataset_args.source=sample", "trainer_args.max_epochs=1"]
    assert type_words("train", *WHOLE, *words)[0] == 0
    config = Path("model_data/MNISTModel/1/config.json")
    content = json.loads(config.read_text())
    content["dataset_name"] = "\x1b]0;owned\x07\x1b[2J"
    config.write_text(json.dumps(content))
    for command in (["evaluate", "runs"], ["evaluate", "with", "run=1"]):
        _, printed = type_words(*command)
        assert "\\x1b[2J" in printed
        assert "\x1b" not in printed
    # Names of folders, metrics and results, in the terminal and on the page.
    shutil.copytree(config.parent, "model_data/\x1b[31mred\nline/1")
    metrics = config.with_name("metrics.jsonl")
    metrics.write_text(metrics.read_text().replace("val_accuracy", "val\\u001b[5m\\naccuracy"))
    found = ["MNISTModel/1", "\x1b[31mred\nline/1"]
    for runs in ("all", f"{found!r}"):
        status, printed = type_words("evaluate", "compare", "with", f"runs={runs}")
        assert status == 0, printed
        assert "\\x1b[31mred\\nline/1" in printed
        assert "last val\\x1b[5m\\naccuracy" in printed
        assert "\x1b" not in printed
    for file in Path("model_data/comparisons").rglob("*.html"):
        text = file.read_text()
        assert "\x1b" not in text
        assert "\\x1b[31mred\\nline/1" in text
