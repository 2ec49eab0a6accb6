"""Every plug-in keeps the contracts that the runner builds on; yours are found and tested, too."""

from __future__ import annotations

import pytest
import torch
from plug_ins import (
    CONFIG,
    ERRORS,
    EVAL_CONFIG,
    FILES,
    PACKAGE,
    UserError,
    check_needs,
    configured,
    contracts,
    found,
    imported,
    signatures,
    splits,
    trained,
)

pytestmark = pytest.mark.filterwarnings("default")  # what a plug-in warns of is no fault


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_each_file_can_be_imported(path):
    imported(path)


@pytest.mark.parametrize("cls", [*found("datasets"), *found("evaluators")])
def test_a_class_has_what_the_runner_calls(cls):
    assert contracts.broken_promise(cls) is None


# -- Datasets -------------------------------------------------------------------------------------


@pytest.fixture
def parts(cls):
    """The splits of a dataset."""
    found = splits(cls)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.mark.parametrize("cls", found("datasets"))
def test_splits_have_examples_that_make_a_batch(cls, parts):
    for split, dataset in parts.items():
        if isinstance(dataset, contracts.OwnBatches):  # of a LightningDataModule
            next(iter(dataset.batches()))
            continue
        assert len(dataset) > 0, split
        places = list(range(min(3, len(dataset))))
        whole = hasattr(dataset, "__getitems__")
        dataset.collate_fn(dataset.__getitems__(places) if whole else [dataset[i] for i in places])


@pytest.mark.parametrize("cls", found("datasets"))
def test_a_batch_is_its_examples(cls, parts):
    """Reading a whole batch at once gives what reading one example at a time gives."""
    dataset = parts["val"]  # training examples may be augmented at random
    if not hasattr(dataset, "__getitems__"):
        pytest.skip("it reads one example at a time")
    places = list(range(min(4, len(dataset))))
    if not same(dataset[0], dataset[0]):
        pytest.skip("it is read at random")
    batch = dataset.__getitems__(places)
    for i in places:
        assert same(nth(batch, i), dataset[i]), i


def nth(batch, i: int):
    """An example of a batch, in whatever tuples, lists and dicts its tensors are."""
    if isinstance(batch, dict):
        return {key: nth(value, i) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return [nth(value, i) for value in batch]
    return batch[i]


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(torch.as_tensor(one == other).all())


# -- Models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", found("models"))
def test_a_model_learns(cls):
    """Two steps by the Trainer: all is finite that there is, and some weight has changed."""
    done = trained(cls)
    assert all(done.watch.losses)
    assert done.watch.gradients, "no parameter has a gradient"
    for name, finite in done.watch.gradients.items():  # frozen and unused ones have none
        assert finite, name
    now = done.model.state_dict()
    assert any(not torch.equal(now[name], value) for name, value in done.before.items())


@pytest.mark.parametrize("cls", found("models"))
def test_a_checkpoint_is_loaded_without_running_code(cls, tmp_path):
    done = trained(cls)
    done.trainer.save_checkpoint(tmp_path / "it.ckpt")
    loaded = cls.load_from_checkpoint(
        tmp_path / "it.ckpt", map_location="cpu", weights_only=True, **done.arguments
    )
    state = loaded.state_dict()
    for name, value in torch.load(tmp_path / "it.ckpt", weights_only=True)["state_dict"].items():
        assert torch.equal(state[name], value), name


# -- Evaluators and callbacks ---------------------------------------------------------------------


@pytest.mark.parametrize("cls", found("evaluators"))
def test_an_evaluator_returns_numbers(cls, tmp_path):
    """The configured one of the configured model; any other of the first one that it fits."""
    is_configured = cls.__name__ == EVAL_CONFIG["evaluator_name"]
    values = EVAL_CONFIG["evaluator_args"] if is_configured else {}
    reasons = []
    model_classes = [param.values[0] for param in found("models")]
    model_classes.sort(key=lambda model_class: model_class.__name__ != CONFIG["model_name"])
    for model_class in model_classes[:1] if is_configured else model_classes:
        try:
            done = trained(model_class)
            evaluator = cls(**signatures.complete("evaluator_args", cls, dict(values)))
            evaluator.folder = tmp_path
            check_needs(evaluator, done.model, done.splits["test"])
            with torch.inference_mode():
                results = evaluator.evaluate(done.model.eval(), done.splits["test"])
        except pytest.skip.Exception as reason:
            reasons.append(str(reason))
        except ERRORS as error:
            if is_configured:
                raise
            reasons.append(f"with {model_class.__name__}: {error}")
        else:
            assert results
            assert all(isinstance(float(value), float) for value in results.values())
            for draw in evaluator.figures.values():
                draw()
            return
    pytest.skip(f"{cls.__name__} fits no model that is here ({'; '.join(reasons)})")


def test_callbacks_keep_their_state(tmp_path):
    """Each is attached to the configured model; its state loads without running code."""
    for case in found("callbacks"):  # none in a fresh project
        (cls,) = case.values
        values = dict(CONFIG["callback_args"].get(cls.__name__, {}))
        try:
            values = signatures.complete("callback_args", cls, values)
        except UserError:  # it has an argument that only its user can give
            continue
        callback = cls(**values)
        trained(configured("models", CONFIG["model_name"]), callback)
        torch.save(callback.state_dict(), tmp_path / "state")
        cls(**values).load_state_dict(torch.load(tmp_path / "state", weights_only=True))
