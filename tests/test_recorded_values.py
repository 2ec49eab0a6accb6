"""Values of a configuration reach the constructor as they were given, from a record as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import DEBUG, read, tree_module

MODEL = """
from pathlib import Path

from .mnist_classifier import MNISTModel


class Recorded(MNISTModel):
    def __init__(
        self,
        input_shape,
        num_classes: int,
        sizes=(1, 2),
        names={1: "one"},  # noqa: B006
        pairs=((1, 2),),
        given=None,
        folder: Path = Path("here"),
        typed: dict[int, tuple[int, int]] | None = None,
    ):
        print("GOT", sizes, names, pairs, given, folder, isinstance(folder, Path), typed)
        super().__init__(input_shape, num_classes, hidden_dimension=4)
        self.save_hyperparameters()
"""


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project({"models/recorded.py": MODEL})


def got(printed: str) -> str:
    (line,) = (line for line in printed.splitlines() if line.startswith("GOT"))
    return line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "(1, 2) {1: 'one'} ((1, 2),) None here True None"),
        (
            [
                "model_args.sizes=(3, [4, (5,)])",
                "model_args.names={2: {3: (4, 5)}}",
                "model_args.given=[(1, 2)]",
                "model_args.folder=there",
                "model_args.typed={'1': [2, 3]}",
            ],
            "(3, [4, (5,)]) {2: {3: (4, 5)}} ((1, 2),) [(1, 2)] there True {1: (2, 3)}",
        ),
    ],
)
def test_a_record_gives_back_what_was_given(project, forks, tmp_path, words, expected):
    """Tuples, keys that are no text, and paths: resumed, reproduced, and run once more."""
    run = "model_data/Recorded/1"
    commands = [
        ["train", *DEBUG, "model_name=Recorded", *words],
        ["train", "with", "resume=last", "trainer_args.max_epochs=2"],
        ["evaluate", "with", "run=Recorded/1"],
        ["train", "reproduce", "with", "run=Recorded/1"],
        ["train", "with", f"{run}/config.json"],
    ]
    for command in commands:
        assert got(forks.run(project, *command, cwd=tmp_path)) == f"GOT {expected}", command
    assert read(tmp_path / run / "run.json")["attempts"][1]["changes"] == {
        "trainer_args.max_epochs": 2
    }


def test_a_record_of_version_0_4_0_gives_back_what_its_types_say(tree):
    """It wrote lists for tuples, and text for keys."""
    as_typed = tree("engine.config.signatures").as_typed
    for value, hint, made in [
        ([1, 2], tuple[int, ...], (1, 2)),
        ([[1, 2]], "list[tuple[int, int]]", [(1, 2)]),
        ([1, 2], "tuple[int, int] | None", (1, 2)),
        ({"1": "a"}, dict[int, Path], {1: Path("a")}),
        ("a", "str | Path", "a"),
        ("a", "Path | None", Path("a")),
        (None, "Path | None", None),
        ([1], list, [1]),
        ("a", None, "a"),
    ]:
        hint = eval(hint) if isinstance(hint, str) else hint
        assert as_typed(value, hint) == made


def test_json_gives_back_plain_values():
    values = tree_module("engine.config.plain_values")
    value = {"a": [(1, (2, "x"))], "b": {1: {None: 2.5}, "1": True}, "json": "json://1"}
    assert values.from_json(values.to_json(value)) == value
    assert values.normalized({"a": (np.float64(1), range(2), Path("x"))}) == {"a": (1, [0, 1], "x")}


@pytest.mark.parametrize(
    ("imported", "old", "new", "said"),
    [
        (
            "from torch import nn",
            "hidden_dimension = 784",
            "hidden_dimension = nn.ReLU",
            "model_args.hidden_dimension=<class 'torch.nn.modules.activation.ReLU'> is no plain",
        ),
        (
            "import numpy as np",
            "hidden_dimension = 784",
            "hidden_dimension = np.arange(2)",
            "model_args.hidden_dimension=array([0, 1]) is no plain",
        ),
        (
            "from pytorch_lightning.loggers import CSVLogger",
            "max_epochs = 5",
            "logger = [CSVLogger('logs')]",
            "trainer_args.logger[0]=<pytorch_lightning",
        ),
        (
            "import math",
            "log_every_n_steps=1",
            "detect_anomaly=math.cos",
            "trainer_args.detect_anomaly=<built-in function cos> is no plain",
        ),
    ],
)
def test_an_object_in_the_configuration_is_refused_by_name(
    copy_project, forks, tmp_path, imported, old, new, said
):
    project = copy_project({})
    config = project.package / "train_config.py"
    text = config.read_text()
    assert old in text
    marker = "from .engine.config"
    config.write_text(text.replace(marker, f"{imported}\n\n{marker}").replace(old, new))
    assert forks(project, tmp_path, ["train", *DEBUG]) == 1
    printed = (tmp_path / "log.txt").read_text()
    assert "train_config.py" in printed
    assert said in printed
    assert len(printed.strip().splitlines()) == 1
    assert not (tmp_path / "model_data").exists()
