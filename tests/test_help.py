"""`train help GROUP` and `print_config`: what can be set, to what, and what it means."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from helpers import Project

MODELS = '''
import pytorch_lightning as pl

from . import base_of_mine, broken_of_mine
from .base_of_mine import Base as Parent


class Google(pl.LightningModule):
    """A model.

    Args:
        width: units of the hidden
            layer, all of them.
        rate (float, optional): step size, as :class:`~torch.optim.Adam` has it.

    Example:
        width: of no argument.
    """

    def __init__(self, classes: int, width: int = 3, rate=1e-2, sizes: list[int] = (1,)):
        super().__init__()


class Sphinx(pl.LightningModule):
    def __init__(self, width=3, depth: "int" = 2):
        """Makes it.

        :param int width: units of
            the ``hidden`` layer
        :param depth: layers
        :returns: nothing
        """
        super().__init__()


class Numpy(pl.LightningModule):
    """A model.

    Parameters
    ----------
    width : int
        Units of the hidden layer.
    depth
        Layers.

    Notes
    -----
    depth
        Of no argument.
    """

    def __init__(self, width=3, depth=2):
        super().__init__()


class Inherits(Parent):
    """Has no constructor of its own."""


class PassesOn(base_of_mine.Base):
    """Adds an argument.

    Args:
        extra: its own.
    """

    def __init__(self, extra: str = "a", beside: int = 1, **others):
        super().__init__(**others)


class Broken(broken_of_mine.Base):
    """Has a base that cannot be read."""

    def __init__(self, width: int = 3, **others):
        super().__init__(**others)


class Beside(pl.LightningModule):
    def __init__(
        self,
        width: int = 3,  # units of the hidden layer
    ):
        super().__init__()
'''
BASE = '''
import torch_is_not_imported
from torch import nn


class Base(nn.Module):
    """The base.

    Args:
        width: units of the base.
    """

    def __init__(self, width: int = 7, shift=0):
        super().__init__()
'''
EMA = '''
from pytorch_lightning import Callback


class EMA(Callback):
    """Averages.

    Args:
        decay: of the average.
    """

    def __init__(self, decay: float = 0.9):
        pass
'''

PLUG_INS = {
    "models/mine.py": MODELS,
    "models/base_of_mine.py": BASE,
    "models/broken_of_mine.py": "def (",
    "callbacks/ema.py": EMA,
}


@pytest.fixture(scope="module")
def own(copy_project) -> Project:
    return copy_project(PLUG_INS)


@pytest.fixture
def says(own, tmp_path):
    """Runs a command; returns its lines, and that nothing was written."""

    def run(*words: str, check: bool = True) -> list[str]:
        done = own.module(*words, cwd=tmp_path, check=check)
        assert check or done.returncode == 1, done.stdout
        assert list(tmp_path.iterdir()) == []
        assert "\x1b" not in done.stdout
        return [" ".join(line.split()) for line in done.stdout.splitlines()]

    return run


def explained(lines: list[str]) -> dict[str, tuple[str, str]]:
    """Argument -> its facts, and its meaning."""
    found, name = {}, ""
    for line in lines[1:]:
        if re.fullmatch(r"\w+ (.*; )?(default|required)\b.*", line):
            name, _, facts = line.partition(" ")
            found[name] = (facts, "")
        elif name:
            found[name] = (found[name][0], line)
    return found


def test_arguments_of_the_configured_class(says):
    lines = says("train", "help", "model_args", "with", "model_name=Google", "model_args.width=8")
    assert lines[:2] == ["model_args: arguments of Google (models/mine.py)", "A model."]
    found = explained(lines[1:])
    assert found.pop("classes")[0] == "int; required; taken from the dataset unless set"
    assert found == {
        "width": ("int; default 3; here 8", "units of the hidden layer, all of them."),
        "rate": ("float; default 0.01", "step size, as Adam has it."),
        "sizes": ("list[int]; default (1,)", ""),
    }


@pytest.mark.parametrize("name", ["Sphinx", "Numpy"])
def test_other_styles_of_docstrings(says, name):
    found = explained(says("train", "help", "model_args", "with", f"model_name={name}"))
    assert found["width"][0] == "int; default 3"
    assert found["width"][1].lower().rstrip(".") == "units of the hidden layer"
    assert found["depth"][1].lower().rstrip(".") == "layers"


def test_inherited_constructors_are_followed(says):
    found = explained(says("train", "help", "model_args", "with", "model_name=Inherits"))
    assert found == {
        "width": ("int; default 7", "units of the base."),
        "shift": ("default 0", ""),
    }
    found = explained(says("train", "help", "model_args", "with", "model_name=PassesOn"))
    assert list(found) == ["extra", "beside", "width", "shift"]
    assert found["extra"] == ("str; default 'a'", "its own.")
    assert found["width"] == ("int; default 7", "units of the base.")


def test_a_base_that_cannot_be_read_explains_nothing(says):
    found = explained(says("train", "help", "model_args", "with", "model_name=Broken"))
    assert found == {"width": ("int; default 3", "")}


def test_a_comment_beside_an_argument_is_its_meaning(says):
    found = explained(says("train", "help", "model_args", "with", "model_name=Beside"))
    assert found == {"width": ("int; default 3", "units of the hidden layer")}


def test_libraries_explain_their_own(says):
    found = explained(says("train", "help", "trainer_args"))
    assert found["max_epochs"][0] == "Optional[int]; default None; here 5"
    assert found["max_epochs"][1].startswith("Stop training once this number of epochs is reached")
    assert len(found) > 30
    assert all(meaning for _, meaning in found.values())
    found = explained(says("train", "help", "dataloader_args", "with", "debug"))
    assert found["batch_size"][0].endswith("default 1; here 32")
    assert found["batch_size"][1].startswith("how many samples per batch to load")
    assert not {"dataset", "sampler", "collate_fn"} & found.keys()


def test_callbacks_datasets_and_evaluators(says):
    lines = says("train", "help", "callback_args", "with", "callback_names=EMA")
    assert explained(lines) == {"decay": ("float; default 0.9", "of the average.")}
    words = ["with", "callback_names=EMA", "callback_args.EMA.decay=0.5"]
    lines = says("train", "help", "callback_args.EMA", *words)
    assert explained(lines)["decay"][0] == "float; default 0.9; here 0.5"
    assert "EMA Averages." in says("train", "help", "callback_names")
    assert "source" in explained(says("train", "help", "dataset_args"))
    assert "num_bins" in explained(says("evaluate", "help", "evaluator_args"))
    assert "source" in explained(says("evaluate", "help", "dataset_args"))


def test_keys_presets_and_single_arguments(says):
    lines = says("train", "help", "model_name")
    assert lines[:2] == ["model_name str; default 'MNISTModel'", "a class in models/"]
    assert "Google A model." in lines
    assert says("train", "help", "monitor_mode")[1] == '"min" or "max": what is better'
    assert says("train", "help", "debug")[1] == "One batch of everything: does it run at all?"
    lines = says("train", "help", "model_args.hidden_dimension")
    assert lines == ["hidden_dimension int; default 784", "width of the hidden layer."]
    assert "Trains the configured model" in " ".join(says("train", "help", "train"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train help modl_args", "help: 'modl_args' is unknown: did you mean 'model_args'?"),
        ("evaluate help evaluater_args", "did you mean 'evaluator_args'?"),
        ("train help model_args with model_name=Googl", "did you mean 'Google'?"),
        ("train help model_args with modl_name=Google", "did you mean 'model_name'?"),
        ("train help model_args.hiden_dimension", "did you mean 'hidden_dimension'?"),
        ("train help model_args model_name=Google", "write `help model_args with KEY=VALUE`"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(says, words, said):
    (line,) = says(*words.split(), check=False)
    assert line.startswith("UserError: ")
    assert said in line


def test_print_config_explains_groups(says):
    lines = says("train", "print_config", "with", "model_args.learning_rate=1.0")
    assert "learning_rate = 1.0 # step size of Adam in the first epoch; then it falls" in lines
    assert "batch_size = 32 # examples per optimizer step and process" in lines
    (line,) = [line for line in lines if line.startswith("max_epochs = 5 # Stop training")]
    assert line.endswith("epochs is reached.")
    assert "seed = 42 # seeds weight initialisation" in " ".join(lines)
    # The comments are of the class that the file names: another one has its docstring.
    words = ["model_name=Google", "model_args.rate=0.5", "model_args.width=2"]
    lines = says("train", "print_config", "with", *words)
    assert "width = 2 # units of the hidden layer, all of them." in lines
    assert "rate = 0.5 # step size, as Adam has it." in lines


@pytest.mark.parametrize("command", ["print_config", "print_named_configs"])
@pytest.mark.parametrize(
    ("env", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals(own, tmp_path, command, env, is_coloured):
    ours, theirs = pty.openpty()
    words = [own.python, "-m", f"{own.package.name}.runner", "train", command]
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"TERM": "xterm", "PYTHONPATH": str(own.path / "src"), **env}
    process = subprocess.Popen(words, cwd=tmp_path, stdout=theirs, env=environment)
    os.close(theirs)
    printed = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        printed += part
    assert process.wait() == 0
    os.close(ours)
    assert (b"\x1b[" in printed) == is_coloured
    assert b"\x1b" not in own.module("train", command, cwd=tmp_path).stdout.encode()
