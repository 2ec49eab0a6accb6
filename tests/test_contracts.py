"""What a plug-in promises is checked when it is loaded; what breaks a promise is one line."""

from __future__ import annotations

import pytest
import torch
from helpers import DEBUG, read

PLUG_INS = {
    "datasets/base.py": """
import torch

from . import SplitDataset


class Points(SplitDataset):
    num_inputs, num_classes = 2, 2

    def __init__(self, split: str, size: int = 20):
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        self.points = torch.randn(size, 2, generator=generator)
        self.targets = (self.points[:, 0] > 0).long()
        self.scale, self.mean, self.path = torch.tensor(7.0), 7.0, "seven"

    def __len__(self):
        return len(self.points)

    def __getitems__(self, indices):
        return {"points": self.points[indices], "rest": (self.targets[indices],)}
""",
    "datasets/no_length.py": """
from . import SplitDataset


class NoLength(SplitDataset):
    def __init__(self, split: str):
        pass

    def __getitem__(self, index):
        return index
""",
    "datasets/no_items.py": """
from . import SplitDataset


class NoItems(SplitDataset):
    def __init__(self, split: str):
        pass

    def __len__(self):
        return 1
""",
    "datasets/factory.py": """
from torch.utils.data import default_collate

from .base import Points


class Factory(Points):
    def collate_fn(self):
        return default_collate
""",
    "models/linear.py": """
import pytorch_lightning as pl
import torch
import torch.nn.functional as F


class Linear(pl.LightningModule):
    def __init__(
        self,
        num_inputs: int,
        num_classes: int,
        scale: float = 1.5,
        mean: float = 0.5,
        path: str | None = None,
        targets: int = 2,
    ):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(num_inputs, num_classes)

    def forward(self, points):
        return self.layer(self.hparams.scale * points - self.hparams.mean)

    def training_step(self, batch, batch_idx):
        (targets,) = batch["rest"]
        return F.cross_entropy(self(batch["points"]), targets)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx), batch_size=len(batch["points"]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
""",
    "models/warms.py": """
import torch

from ..util.util import with_warmup_and_cosine
from .linear import Linear


class Warms(Linear):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return with_warmup_and_cosine(optimizer, self.trainer, warmup=0.1)
""",
    "evaluators/nothing.py": """
from . import Evaluator


class Nothing(Evaluator):
    def evaluates(self, model, dataset):
        return {}
""",
    "evaluators/needy.py": """
from typing import Protocol

from . import Evaluator


class HasUnits(Protocol):
    unit: str

    def to_units(self, values): ...


class CanSample(Protocol):
    def sample(self, size: int): ...


class Needy(Evaluator):
    def evaluate(self, model, dataset: HasUnits):
        raise AssertionError("not to be reached")


class Samples(Evaluator):
    def evaluate(self, model: CanSample, dataset):
        raise AssertionError("not to be reached")
""",
    "evaluators/draws.py": """
from matplotlib.figure import Figure

from . import Evaluator


class Draws(Evaluator):
    def evaluate(self, model, dataset):
        Figure().savefig(self.folder / "at_once.png")
        self.add_table("table.csv", ("a", "b"), [(1, "x, y"), (0.1, "z")])
        self.add_figure("good.png", self.draw, "good")
        self.add_figure("bad.png", self.draw, "bad")
        self.add_figure("good.pdf", Figure)
        return {"test_points": len(dataset)}

    def draw(self, what):
        assert (self.folder / "results.json").exists()
        if what == "bad":
            raise KeyError("no such\\nthing")
        return Figure()
""",
}
TRAIN = ["train", "with", "debug", "model_name=Linear", "dataset_name=Points"]
LINEAR = ["with", "run=Linear/1"]


@pytest.fixture(scope="module")
def own(copy_project, tmp_path_factory):
    """Runs commands of a project with these plug-ins; a run of `Linear` is there."""
    folder, project = tmp_path_factory.mktemp("own"), copy_project(PLUG_INS)

    def command(*words: str, check: bool = True):
        return project.module(*words, cwd=folder, check=check)

    command.folder = folder
    command(*TRAIN)
    return command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dataset_name=NoLength", "NoLength in datasets/no_length.py: it has no __len__"),
        ("dataset_name=NoItems", "it has neither __getitem__ nor __getitems__"),
        ("dataset_name=Factory", "write `def collate_fn(self, examples)`, which returns the batch"),
    ],
)
def test_a_broken_promise_is_named_before_there_is_a_run(own, words, said):
    refused = own("train", *DEBUG[:2], words, check=False)
    assert refused.returncode == 1
    assert said in refused.stdout
    assert len(refused.stdout.strip().splitlines()) == 1
    assert [path.name for path in (own.folder / "model_data").glob("[!.]*")] == ["Linear"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Nothing", "Nothing in evaluators/nothing.py: it has no evaluate"),
        ("Needy", "Needy needs 'to_units', 'unit', which Points does not have"),
        ("Samples", "Samples needs 'sample', which Linear does not have"),
    ],
)
def test_what_an_evaluator_needs_is_named_before_anything_is_evaluated(own, name, said):
    refused = own("evaluate", *LINEAR, f"evaluator_name={name}", check=False)
    assert refused.returncode == 1
    assert refused.stdout.strip().splitlines()[-1].endswith(said)
    assert "Traceback" not in refused.stdout


def test_a_default_of_the_models_own_is_never_overridden(own):
    """By what the dataset happens to be called: `scale`, `mean`, `path`, `targets`."""
    arguments = read(own.folder / "model_data" / "Linear" / "1" / "info.json")["model_args"]
    assert arguments == {
        "num_inputs": 2,
        "num_classes": 2,
        "scale": 1.5,
        "mean": 0.5,
        "path": None,
        "targets": 2,
    }


def test_figures_are_drawn_when_the_results_are_written_and_may_fail(own):
    evaluated = own("evaluate", *LINEAR, "evaluator_name=Draws")
    (said,) = [line for line in evaluated.stdout.splitlines() if "bad.png" in line]
    assert said == "WARNING: bad.png could not be drawn (KeyError: 'no such\\nthing')"
    folder = max((own.folder / "model_data" / "Linear" / "1" / "evaluations").iterdir())
    assert read(folder / "run.json")["status"] == "COMPLETED"
    assert read(folder / "results.json") == {"test_points": 20}
    assert (folder / "table.csv").read_bytes() == b'a,b\r\n1,"x, y"\r\n0.1,z\r\n'
    drawn = {path.name for path in folder.iterdir() if path.suffix in (".png", ".pdf")}
    assert drawn == {"at_once.png", "good.png", "good.pdf"}


def test_the_state_of_another_schedule_is_refused(own):
    """What 0.4.0 stored of the closures of GPT, LSTM and ViT is nothing to go on from."""
    own("train", "with", "debug", "model_name=Warms", "dataset_name=Points")
    path = own.folder / "model_data" / "Warms" / "1" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    (state,) = content["lr_schedulers"]
    assert "_schedulers" in state
    content["lr_schedulers"] = [{"base_lrs": [0.1], "last_epoch": 1, "lr_lambdas": [None]}]
    torch.save(content, path)
    words = ["resume=Warms/1", "trainer_args.max_epochs=2"]
    refused = own("train", "with", *words, check=False)
    assert refused.returncode == 1
    said = refused.stdout.strip().splitlines()[-1]
    assert "the model's learning-rate schedule is another one than when the run was stored" in said
    assert "Traceback" not in refused.stdout


def test_an_example_is_the_one_of_a_batch_of_one(tree):
    """Whatever tuples and dicts a batch is made of."""
    contracts = tree("engine.contracts")

    class Nested(contracts.SplitDataset):
        def __len__(self):
            return 3

        def __getitems__(self, indices):
            numbers = torch.tensor(indices)
            return {"a": numbers, "b": (numbers * 2, [numbers * 3])}

    assert Nested()[2] == {"a": 2, "b": (4, [6])}
    assert Nested().collate_fn("a batch") == "a batch"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("def collate_fn(self, examples): ...", None),
        ("collate_fn = staticmethod(lambda examples: examples)", None),
        ("def collate_fn(self, *examples): ...", None),
        ("def collate_fn(self): ...", "makes a function"),
        ("def collate_fn(self, one, two): ...", "makes a function"),
    ],
)
def test_forms_of_collate_fn(tree, form, said):
    contracts, names = tree("engine.contracts"), {}
    code = (
        "class It(SplitDataset):\n    def __len__(self): ...\n    def __getitem__(self, i): ...\n"
    )
    exec(f"{code}    {form}\n", {"SplitDataset": contracts.SplitDataset}, names)
    problem = contracts.broken_promise(names["It"])
    assert problem is None if said is None else said in problem
