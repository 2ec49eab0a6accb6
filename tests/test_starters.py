"""Each starter model and score by itself, imported from the unstamped tree."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from helpers import SIDECARS

IMAGES = {"input_shape": (3, 16, 16), "num_classes": 10}
TOKENS = {"vocab_size": 63, "block_size": 16, "num_layers": 2, "embedding_dimension": 32}
ROWS = {"num_numbers": 3, "category_sizes": [4, 3], "dropout": 0.0}
SERIES = {"window": 24, "horizon": 6}
MODELS = {  # small, and without the chance that would keep them from fitting a batch exactly
    "mnist_classifier": IMAGES,
    "cnn": IMAGES | {"dropout": 0.0},
    "resnet": IMAGES | {"depth": 8},
    "vit": IMAGES | {"num_layers": 2, "embedding_dimension": 32, "dropout": 0.0},
    "vae": {"input_shape": (3, 16, 16), "hidden_dimension": 64},
    "tabular_mlp": ROWS | {"num_classes": 5},
    "tabular_mlp of numbers": ROWS | {"num_classes": None},
    "gpt": TOKENS | {"dropout": 0.0},
    "lstm": {"vocab_size": 63, "hidden_dimension": 64, "dropout": 0.0},
    "dlinear": SERIES | {"kernel_size": 5},
    "tcn": SERIES | {"num_series": 2, "dropout": 0.0},
    "custom": {"input_shape": (8,), "num_classes": 2},
}


def batch_for(arguments: dict, size: int):
    """A batch of the documented shapes, the shape of the outputs, and the loss of guessing."""
    if "vocab_size" in arguments:
        tokens = torch.randint(63, (size, 17))
        return (tokens[:, :-1], tokens[:, 1:]), (size, 16, 63), math.log(63)
    if "window" in arguments:
        series = torch.randn(size, 30, 2).cumsum(1)
        windows, targets = series[:, :24], series[:, 24:]
        repeated = (targets - windows[:, -1:]).square().mean().item()
        return (windows, targets), (size, 6, 2), repeated
    if "num_numbers" in arguments:
        codes = torch.stack([torch.randint(4, (size,)), torch.randint(3, (size,))], 1)
        rows = torch.cat((torch.randn(size, 3), codes), 1)
        if arguments["num_classes"] is None:
            targets = torch.randn(size)
            return (rows, targets), (size,), targets.square().mean().item()
        return (rows, torch.arange(size) % 5), (size, 5), math.log(5)
    shape = arguments["input_shape"]
    if "num_classes" not in arguments:
        images = (torch.rand(size, *shape) < 0.5).float()
        return (images, torch.zeros(size)), (size, *shape), math.prod(shape) * math.log(2)
    classes = arguments["num_classes"]
    batch = torch.rand(size, *shape), torch.arange(size) % classes
    return batch, (size, classes), math.log(classes)


@pytest.fixture(params=MODELS)
def make(request, tree):
    """Makes a starter model, and what `batch_for` says of it."""
    row, arguments = SIDECARS["model"][request.param.split()[0]], MODELS[request.param]
    module = row["files"][0].removesuffix(".py").replace("/", ".")
    cls = getattr(tree(module), row["class_name"])

    def make(size: int = 8):
        torch.manual_seed(0)
        return cls(**arguments), *batch_for(arguments, size)

    return make


def loss_of(model, batch):
    returned = model.training_step(batch, 0)
    return returned["loss"] if isinstance(returned, dict) else returned


def test_every_model_is_tested():
    assert {name.split()[0] for name in MODELS} == set(SIDECARS["model"])


def test_shapes_and_types(make):
    model, (inputs, _), shape, _ = make()
    outputs = model(inputs)
    assert outputs.shape == shape
    assert outputs.dtype == torch.float32


def test_the_first_loss_is_that_of_guessing(make):
    model, batch, _, guessing = make(256)
    assert loss_of(model, batch).item() == pytest.approx(guessing, rel=0.2)


def test_gradients_reach_every_parameter(make):
    model, batch, _, _ = make()
    loss_of(model, batch).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_batch_can_be_overfitted(make):
    model, batch, _, guessing = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(800):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * guessing


def test_examples_of_a_batch_do_not_influence_each_other(make):
    model, (inputs, _), _, _ = make()
    for _ in range(3):  # so that running means are not those of the beginning
        model(inputs)
    model.eval()
    torch.testing.assert_close(model(inputs)[:2], model(inputs[:2]), rtol=1e-4, atol=1e-5)


def test_saved_and_loaded_weights_give_the_same_outputs(make, tmp_path):
    model, (inputs, _), _, _ = make()
    torch.save(model.state_dict(), tmp_path / "weights")
    other, _, _, _ = make()
    for parameter in other.parameters():
        torch.nn.init.ones_(parameter)
    other.load_state_dict(torch.load(tmp_path / "weights", weights_only=True))
    assert torch.equal(model.eval()(inputs), other.eval()(inputs))


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_a_language_model_does_not_see_the_future(tree, name):
    torch.manual_seed(0)
    cls = getattr(tree(f"models.{name}"), SIDECARS["model"][name]["class_name"])
    model = cls(**MODELS[name]).eval()
    tokens = torch.randint(63, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 63
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_gpt_ties_its_output_and_refuses_odd_heads(tree):
    gpt = tree("models.gpt").GPT
    names = [name for name, p in gpt(**TOKENS).named_parameters() if p.shape == (63, 32)]
    assert names == ["token_embedding.weight"]
    with pytest.raises(ValueError, match="num_heads=5 does not divide embedding_dimension=32"):
        gpt(**TOKENS, num_heads=5)


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_text_is_generated_from_a_beginning_longer_than_a_block(tree, name):
    cls = getattr(tree(f"models.{name}"), SIDECARS["model"][name]["class_name"])
    model = cls(**MODELS[name]).eval()
    tokens = model.generate(torch.zeros(1, 20, dtype=torch.long), length=5)
    assert tokens.shape == (1, 25)
    assert (tokens >= 0).all()
    assert (tokens < 63).all()


@pytest.mark.parametrize(("steps", "end"), [(1, 0.1), (3, 0.0), (200, 0.1), (200, 0.0)])
def test_a_warm_up_rises_to_the_peak_and_falls_without_a_jump(tree, tmp_path, steps, end):
    """And goes on from a checkpoint as if it had never been stopped; after the end it stays."""
    rates = run_schedule(tree, steps, end, range(steps + 9))
    peak = max(1, round(0.05 * steps))
    assert rates.index(max(rates)) == peak
    assert max(rates) == pytest.approx(3e-3)
    for earlier, later in pairwise(rates[: peak + 1]):
        assert later - earlier == pytest.approx(3e-3 / (peak + 1))
    falls = [1 - later / earlier for earlier, later in pairwise(rates[peak:steps])]
    assert all(fall >= 0 for fall in falls)
    if steps > 100:
        assert falls[0] < 2e-4  # the old one fell by 2.4 % at once
    assert rates[max(steps, 2) :] == pytest.approx([end * 3e-3] * len(rates[max(steps, 2) :]))
    for stop in (0, peak, steps // 2, steps):
        state = tmp_path / f"{stop}.pt"
        assert run_schedule(tree, steps, end, range(stop), save=state) == rates[:stop]
        assert run_schedule(tree, steps, end, range(stop, steps), load=state) == rates[stop:steps]


def run_schedule(tree, steps, end, some, save=None, load=None) -> list[float]:
    """The learning rates of `some` of the steps."""
    helpers, layer = tree("util.util"), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(helpers.decay_groups(layer), lr=3e-3)
    trainer = SimpleNamespace(estimated_stepping_batches=steps)
    made = helpers.with_warmup_and_cosine(optimizer, trainer, warmup=0.05, end=end)
    schedule, rates = made["lr_scheduler"]["scheduler"], []
    if load:
        states = torch.load(load, weights_only=True)
        optimizer.load_state_dict(states[0])
        schedule.load_state_dict(states[1])
    for _ in some:
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert first == second
        rates.append(first)
        optimizer.step()
        schedule.step()
    if save:
        torch.save((optimizer.state_dict(), schedule.state_dict()), save)
    return rates


# -- Scores ---------------------------------------------------------------------------------------


def test_scores_of_classes_by_hand(tree):
    report = tree("evaluators.classification_report")
    # rows: true class. Class 0: 3 of 4 found, 3 of 5 predictions right. Class 2 never occurs.
    counts = torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    targets, preds = (place.repeat_interleave(counts.flatten()) for place in cells(3))
    scores = report.class_scores(preds, targets, 3, "none")
    expected = torch.tensor([[3 / 5, 3 / 4, 2 * 3 / 9], [4 / 5, 4 / 6, 2 * 4 / 11], [0, 0, 0]])
    torch.testing.assert_close(scores, expected)
    means = report.class_scores(preds, targets, 3, "macro")
    torch.testing.assert_close(means, expected[:2].mean(0))  # of the classes that are there


def cells(size: int):
    """Rows and columns of the cells of a square table."""
    return torch.arange(size).repeat_interleave(size), torch.arange(size).repeat(size)


def test_calibration_error_by_hand(tree):
    error = tree("evaluators.classification_report").calibration_error
    confidences, targets = torch.tensor([0.95, 0.95, 0.55, 0.55]), torch.tensor([0, 0, 0, 1])
    # ten bins: |0.95 - 1| and |0.55 - 0.5|, each for half of the examples
    probabilities = torch.stack((confidences, 1 - confidences), dim=1)
    assert error(probabilities, targets, 10) == pytest.approx(0.05, abs=1e-6)
    certain = torch.tensor([[1.0, 0.0]] * 3)
    assert error(certain, torch.zeros(3, dtype=torch.long), 15) == pytest.approx(0, abs=1e-9)
    # 1.0 and 0.97 are in one bin, the last: |mean of 1 and 0.97 - 1/2|
    last = torch.tensor([[1.0, 0.0], [0.97, 0.03]])
    assert error(last, torch.tensor([0, 1]), 10) == pytest.approx(0.485, abs=1e-6)


def test_counting_baselines_by_hand(tree):
    losses = tree("evaluators.language_report").baseline_losses
    train, test = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 1, 0])
    unigram, bigram = losses(train.split(2), test.split(1), 2)
    assert unigram == pytest.approx(-(math.log(3 / 7) + math.log(4 / 7)) / 2)
    assert bigram == pytest.approx(-math.log(3 / 4))


def test_a_confusion_matrix_of_many_or_long_classes_is_drawn(tree, tmp_path):
    figure = tree("evaluators.classification_report").confusion_figure
    for names in ([f"class number {i}" for i in range(3)], [str(i) for i in range(40)]):
        confusion = torch.randint(9, (len(names), len(names)))
        figure(names, confusion).savefig(tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 5_000


def test_the_bootstrap_interval_of_an_accuracy(tree):
    interval = tree("evaluators.classification_report").bootstrap_interval
    correct = torch.cat((torch.ones(900), torch.zeros(100))).double()
    found = interval("accuracy", correct)
    drawn = correct[torch.randint(1000, (4000, 1000))].mean(1)  # examples, again and again
    low, high = drawn.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    assert found["accuracy_low"] == pytest.approx(low, abs=0.003)
    assert found["accuracy_high"] == pytest.approx(high, abs=0.003)
    assert interval("a", torch.ones(5).double()) == {"a_low": 1, "a_high": 1}


def test_regression_scores_by_hand(tree):
    scores = tree("evaluators.regression_report").regression_scores
    found = scores("test", torch.tensor([1.0, 2, 6]), torch.tensor([1.0, 3, 5]))
    # errors 0, -1, 1; the targets' mean is 3, and their squares around it sum up to 8
    expected = {"test_mae": 2 / 3, "test_rmse": math.sqrt(2 / 3), "test_r2": 1 - 2 / 8}
    assert found == pytest.approx(expected)
    assert math.isnan(scores("test", torch.ones(2), torch.ones(2))["test_r2"])


def test_forecast_scores_by_hand(tree):
    scores = tree("evaluators.forecast_report").forecast_scores
    errors = torch.tensor([[[1.0, 4], [-1, 0]]])  # one window, two steps, two series
    found = scores("test", errors, torch.tensor([2.0, 4]))
    expected = {"test_mae": 6 / 4, "test_rmse": math.sqrt(18 / 4), "test_mase": (1 / 2 + 2 / 4) / 2}
    assert found == pytest.approx(expected)
    assert scores("test", errors, torch.tensor([2.0, 0]))["test_mase"] == 0.5


def test_the_error_of_one_constant_image(tree):
    error = tree("evaluators.reconstruction_report").constant_image_error
    images = torch.tensor([[[[0.0, 1.0, 0.5]]], [[[0.0, 1.0, 0.0]]]])
    mean = images.mean(0)
    by_pixel = torch.nn.functional.binary_cross_entropy(mean.expand(2, -1, -1, -1), images)
    assert error(mean) == pytest.approx(by_pixel.item() * 3)


def test_the_bound_of_a_vae_is_kingma_and_wellings(tree):
    """Against torch's own distributions."""
    from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

    model = tree("models.vae").VAE(**MODELS["vae"])
    images = (torch.rand(4, 3, 16, 16) < 0.5).float()
    torch.manual_seed(3)
    error, divergence = model.bound(images)
    mean, log_variance = model.encode(images)
    code = Normal(mean, (log_variance / 2).exp())
    torch.testing.assert_close(divergence, kl_divergence(code, Normal(0.0, 1.0)).sum(1))
    torch.manual_seed(3)
    pixels = Bernoulli(logits=model.decode(mean + torch.randn_like(mean) * code.stddev))
    torch.testing.assert_close(error, -Independent(pixels, 3).log_prob(images))


def test_a_tcn_sees_its_whole_window_and_a_dlinear_begins_by_repeating(tree):
    torch.manual_seed(0)
    model = tree("models.tcn").TCN(window=60, horizon=2, num_series=1, dropout=0.0).eval()
    windows = torch.randn(1, 60, 1, requires_grad=True)
    model(windows).sum().backward()
    assert (windows.grad[0, :, 0] != 0).float().mean() > 0.95
    assert windows.grad[0, 0, 0] != 0
    dlinear = tree("models.dlinear").DLinear(window=60, horizon=3)
    assert torch.equal(dlinear(windows), windows[:, -1:].expand(1, 3, 1))
