"""The configured model and dataset keep the contracts that the runner builds on."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader


def batch_of(dataset, size=8):
    return next(iter(DataLoader(dataset, size, collate_fn=dataset.collate_fn())))


def test_splits_have_examples(splits):
    for split, dataset in splits.items():
        assert len(dataset) > 0, split


def test_a_batch_is_its_examples(splits):
    """Reading a whole batch at once gives what reading one example at a time gives."""
    batch = batch_of(splits["val"], 4)  # training examples may be augmented at random
    for part, *items in zip(batch, *(splits["val"][i] for i in range(4))):
        assert torch.equal(part, torch.stack(items))


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # there is no Trainer here
def test_every_parameter_learns(make_model, splits):
    model = make_model()
    returned = model.training_step(batch_of(splits["train"]), 0)
    loss = returned["loss"] if isinstance(returned, dict) else returned
    assert loss.isfinite()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_examples_of_a_batch_do_not_influence_each_other(make_model, splits):
    model, (inputs, _) = make_model().eval(), batch_of(splits["val"])
    with torch.inference_mode():
        together, alone = model(inputs), model(inputs[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)
