"""A plug-in written for the package `lightning` is refused with the line to write instead."""

from __future__ import annotations

import ast

import pytest
from helpers import DEBUG

MODELS = {
    "models/alias.py": "import lightning as L\n\n\nclass Alias(L.LightningModule):\n    pass\n",
    "models/dotted.py": (
        "import lightning.pytorch as pl\n\n\nclass Dotted(pl.LightningModule):\n    pass\n"
    ),
    "models/lines.py": (
        "from lightning.pytorch import (\n    LightningModule,\n    Trainer,\n)\n\n\n"
        "class Lines(LightningModule):\n    pass\n"
    ),
    "models/bolted.py": "from bolts import Base\n\n\nclass Bolted(Base):\n    pass\n",
    "datasets/module.py": (
        "from lightning import LightningDataModule\n\n\nclass Module(LightningDataModule):\n"
        "    pass\n"
    ),
    "callbacks/theirs.py": (
        "from lightning.pytorch.callbacks import Callback\n\n\nclass Theirs(Callback):\n    pass\n"
    ),
}
INSTEAD = {
    "model_name=Alias": "write `import pytorch_lightning as L` in place of `import lightning as L`",
    "model_name=Dotted": "write `import pytorch_lightning as pl` in place of",
    "model_name=Lines": "write `from pytorch_lightning import LightningModule, Trainer` in place",
    "dataset_name=Module": "write `from pytorch_lightning import LightningDataModule` in place of",
    "callback_names=Theirs": "write `from pytorch_lightning.callbacks import Callback` in place of",
}
PACKAGE = {  # as much of `lightning` as is inherited from
    "lightning/__init__.py": "from .pytorch import LightningDataModule, LightningModule\n",
    "lightning/pytorch/__init__.py": (
        "class LightningModule: ...\n\n\nclass LightningDataModule: ...\n\n\nclass Trainer: ...\n"
    ),
    "lightning/pytorch/callbacks/__init__.py": "class Callback: ...\n",
    "bolts.py": "from lightning import LightningModule\n\n\nclass Base(LightningModule): ...\n",
}


@pytest.fixture(scope="module", params=["not installed", "installed"])
def command(request, copy_project, tmp_path_factory):
    project, library = copy_project(MODELS), tmp_path_factory.mktemp("library")
    for name, code in PACKAGE.items() if request.param == "installed" else ():
        (library / name).parent.mkdir(exist_ok=True, parents=True)
        (library / name).write_text(code)
    path = f"{project.path / 'src'}:{library}"

    def command(*words: str) -> str:
        done = project.module(*words, cwd=library, check=False, PYTHONPATH=path)
        assert done.returncode == 1
        assert not (library / "model_data").exists()
        return done.stdout

    command.is_installed = request.param == "installed"
    return command


@pytest.mark.parametrize("words", INSTEAD)
def test_the_line_to_write_is_said(command, words):
    printed = command("train", *DEBUG[:2], words)
    assert INSTEAD[words] in printed
    assert len(printed.strip().splitlines()) == 1


def test_a_library_for_the_other_package_is_named(command):
    printed = command("train", *DEBUG[:2], "model_name=Bolted")
    if command.is_installed:
        assert "it inherits from lightning.pytorch by bolts.Base, a library for the" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("import lightning", "import pytorch_lightning as lightning"),
        ("from lightning import pytorch as pl", "import pytorch_lightning as pl"),
        ("from lightning.fabric import Fabric", "from lightning_fabric import Fabric"),
        ("from lightning import LightningModule as M", "from pytorch_lightning import L"),
        ("import torch", None),
        ("from .lightning import x", None),
        ("from lightning_utilities import x", None),
    ],
)
def test_each_form_of_import(tree, line, new):
    (node,) = ast.parse(line).body
    translated = tree("engine.other_lightning")._translated(node)
    assert translated is None if new is None else translated.startswith(new)
