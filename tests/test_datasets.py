"""What every starter dataset does, imported from the unstamped tree."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from helpers import SIDECARS, SPLITS, everything, maker
from torch.utils.data import DataLoader

DATASETS = SIDECARS["dataset"]


@pytest.fixture(params=DATASETS)
def make(request, tree, tmp_path):
    """Makes a split of a starter dataset, from what is bundled or made up; prepared as in a run."""
    row = DATASETS[request.param]
    cls = getattr(tree(row["files"][0].removesuffix(".py").replace("/", ".")), row["class_name"])
    arguments = {"source": "sample"} if request.param == "mnist" else {}
    if row["tests"]:
        maker(request.param).write(tmp_path)
        arguments = {"data_dir": str(tmp_path)}
    settled = cls.prepare(**arguments)
    assert json.loads(json.dumps(settled)) == settled  # a run records it
    return lambda split: cls(split, **arguments | settled)


def test_examples_have_the_documented_shapes(make):
    for split in SPLITS:
        dataset = make(split)
        inputs, targets = everything(dataset)
        assert len(inputs) == len(targets) == len(dataset) > 0
        if hasattr(dataset, "input_shape"):
            assert inputs.shape[1:] == dataset.input_shape
        if hasattr(dataset, "vocab_size"):
            assert inputs.dtype == targets.dtype == torch.int64
            assert targets.max() < dataset.vocab_size
            continue
        assert inputs.dtype == torch.float32
        assert inputs.isfinite().all()
        if hasattr(dataset, "num_classes"):
            assert targets.dtype == torch.int64
            assert set(targets.tolist()) == set(range(dataset.num_classes))
            assert len(getattr(dataset, "class_names", range(dataset.num_classes))) == (
                dataset.num_classes
            )
        else:
            assert targets.dtype == torch.float32
            assert targets.shape[1:] == (dataset.horizon, dataset.num_series)


def test_no_example_is_in_two_splits(make):
    """Of series: no value is forecast in two splits. A text's blocks have a test of their own."""
    seen = {}
    for split in SPLITS:
        dataset = make(split)
        inputs, _ = everything(dataset)
        if hasattr(dataset, "starts"):
            own = {start + step for start in dataset.starts.tolist() for step in range(26)}
        else:
            own = {hashlib.md5(x.numpy().tobytes()).hexdigest() for x in inputs}
        assert own
        for name in own:
            assert seen.setdefault(name, split) == split


def test_a_batch_is_its_examples(make):
    dataset = make("val")
    loader = DataLoader(dataset, 5, collate_fn=dataset.collate_fn)
    for part, *items in zip(next(iter(loader)), *(dataset[i] for i in range(5)), strict=True):
        assert torch.equal(part, torch.stack(items))
