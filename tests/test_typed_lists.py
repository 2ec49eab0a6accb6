"""`sizes=1,2` is a list where the argument is one: zsh takes `[1,2]` for a pattern of files."""

from __future__ import annotations

import pytest
from helpers import read

PLUG_INS = {
    "models/listed.py": """
from typing import List, Optional, Union

import torch
from pytorch_lightning import LightningModule


class Listed(LightningModule):
    def __init__(
        self,
        num_inputs: int,
        sizes: list[int] = (4,),
        names: "Optional[List[str]]" = None,
        text: str = "",
        either: Union[List[int], str] = "a",
        pair: tuple[float, float] = (0.9, 0.99),
        plain=("a",),
        untold=None,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(num_inputs, 1)

    def forward(self, inputs):
        return self.layer(inputs)

    def training_step(self, batch, batch_idx):
        return self(batch).pow(2).mean()

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self(batch).pow(2).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
""",
    "datasets/numbers.py": """
import torch

from . import SplitDataset


class Numbers(SplitDataset):
    num_inputs = 1

    def __init__(self, split: str, columns: list[str] = ("a",)):
        self.columns = columns

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.ones(1)

    def describe(self):
        return {"columns": list(self.columns)}
""",
    "evaluators/plain.py": """
from . import Evaluator


class Plain(Evaluator):
    def __init__(self, quantiles: list[float] = (0.5,)):
        self.quantiles = quantiles

    def evaluate(self, model, dataset):
        return {"sum": sum(self.quantiles), "columns": len(dataset.columns)}
""",
}
OWN = ["with", "model_name=Listed", "dataset_name=Numbers", "trainer_args.max_epochs=1"]


@pytest.fixture(scope="module")
def trained(copy_project, forks, tmp_path_factory):
    """A run of the plug-ins with every kind of list: (project, folder)."""
    project, folder = copy_project(PLUG_INS), tmp_path_factory.mktemp("run")
    words = ["sizes=8,16", "names=a,1", "text=1,2", "either=1,2", "pair=0.5,0.75", "plain=x,y"]
    words = [*OWN, *(f"model_args.{word}" for word in words), "dataset_args.columns=b,c"]
    (folder / "settings.yaml").write_text("model_args: {untold: '3,4'}\n")
    assert forks(project, folder, ["train", *words, "settings.yaml"]) == 0
    return project, folder


def test_a_list_is_one_by_the_annotation_of_its_argument(trained):
    _, folder = trained
    config = read(folder / "model_data" / "Listed" / "1" / "config.json")
    assert config["model_args"] == {
        "sizes": [8, 16],
        "names": ["a", "1"],
        "text": "1,2",
        "either": [1, 2],
        "pair": [0.5, 0.75],
        "plain": ["x", "y"],
        "untold": [3, 4],
    }
    assert config["dataset_args"] == {"columns": ["b", "c"]}


def test_a_run_that_goes_on_and_an_evaluation_read_them_alike(trained, forks):
    """Their classes are those of the stored run, which the file does not name."""
    project, folder = trained
    words = ["resume=Listed/1", "trainer_args.max_epochs=2", "model_args.sizes=8,16"]
    assert forks(project, folder, ["train", "with", *words]) == 0
    words = ["run=Listed/1", "evaluator_name=Plain", "evaluator_args.quantiles=0.25,0.5"]
    words = ["evaluate", "with", *words, "dataset_args.columns=d,e,f"]
    assert forks(project, folder, words) == 0
    results = read(folder / "model_data/Listed/1/evaluations/1/results.json")
    assert results == {"sum": 0.75, "columns": 3}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model_args.sizes=a,b", "model_args.sizes=['a', 'b'] does not fit: it takes list[int]"),
        ("seed=1,2", "seed="),
        ("trainer_args.max_epochs=1,2", "trainer_args.max_epochs="),
    ],
)
def test_a_list_where_none_fits_is_refused(trained, tmp_path, word, said):
    project, _ = trained
    done = project.module("train", *OWN, word, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert said in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "annotation", "value"),
    [
        ("1,2", "list | str | None", [1, 2]),
        ("A/1,B/2", "list | str | None", "A/1,B/2"),
        ("all", "list | Literal['all'] | None", "all"),
        ("1", "list[int]", [1]),
        (1, "list[int] | None", [1]),
        (1, "list[int] | int", 1),
        (None, "list[int] | None", None),
        ("[a,b]", "Sequence[str]", ["a", "b"]),
        ("1,2", "typing.Sequence[float]", [1, 2]),
        ("1,2", "str", "1,2"),
        ("1,2", "str | None", "1,2"),
        ("1,2", "Sizes", [1, 2]),
        ("1,2", "", [1, 2]),
        ("a,b", "", "a,b"),
        ("1,", "list[int]", [1]),
        ("abc", "Optional[Union[Logger, Iterable[Logger], bool]]", "abc"),
        ("all", "Literal['all'] | None", "all"),
        ("a", "Union[list[str], bool]", ["a"]),
    ],
)
def test_what_a_word_becomes(tree, typed, annotation, value):
    assert tree("engine.config.lists").between_commas(typed, annotation) == value


def test_values_are_typed_without_calling_anything(tree):
    typed = tree("engine.config.sacred_internals").parse_updates
    assert typed(["a.b=1,2", "c=(1,2)", "d=[1,2]", "e={'py/reduce': 1}", "preset"]) == (
        {"a": {"b": "1,2"}, "c": (1, 2), "d": [1, 2], "e": {"py/reduce": 1}},
        ["preset"],
    )
