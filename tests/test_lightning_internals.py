"""Private names of Lightning and torchmetrics: all in two files, each still there and still read.

A test that fails names what a release has dropped; the two files say what it was for.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil

import pytest
import pytorch_lightning as pl
import torch
from helpers import TREE_PACKAGE
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.core import optimizer
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.strategies.launchers import subprocess_script
from pytorch_lightning.trainer import call
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

# What Lightning advises a training run this small (more workers, a validation).
pytestmark = pytest.mark.filterwarnings("ignore")
ENGINE = TREE_PACKAGE / "engine"
PARTS = ("internals", "restart", "results")
INTERNALS = [ENGINE / "training" / f"lightning_{name}.py" for name in PARTS]
LIBRARIES = ("pytorch_lightning", "lightning_fabric", "torchmetrics")
CONNECTOR = "pytorch_lightning.trainer.connectors.logger_connector"
LOOPS = "pytorch_lightning.loops"
USES = {  # private name -> what has it, and which function of the library reads it there
    "_batches_that_stepped": (
        lambda trainer: trainer.fit_loop.epoch_loop,
        f"{CONNECTOR}.logger_connector:_LoggerConnector.log_metrics",
    ),
    "_results": (
        lambda trainer: trainer.fit_loop.epoch_loop,
        f"{LOOPS}.fit_loop:_FitLoop._results",
    ),
    "_forward_cache": (
        lambda trainer: next(iter(trainer.fit_loop.epoch_loop._results.values())),
        f"{CONNECTOR}.result:_ResultCollection._get_cache",
    ),
    "_get_cache": (
        lambda trainer: type(trainer.fit_loop.epoch_loop._results),
        f"{CONNECTOR}.result:_ResultCollection.metrics",
    ),
    "_forked_name": (
        lambda trainer: type(trainer.fit_loop.epoch_loop._results),
        f"{CONNECTOR}.result:_ResultCollection.metrics",
    ),
    "_run_early_stopping_check": (
        lambda trainer: EarlyStopping,
        "pytorch_lightning.callbacks.early_stopping:EarlyStopping.on_validation_end",
    ),
    "_logger_connector": (
        lambda trainer: trainer,
        "pytorch_lightning.core.module:LightningModule.log",
    ),
    "_first_loop_iter": (
        lambda trainer: trainer._logger_connector,
        f"{CONNECTOR}.logger_connector:_LoggerConnector.should_reset_tensors",
    ),
    "_checkpoint_connector": (
        lambda trainer: trainer,
        "pytorch_lightning.trainer.trainer:Trainer._run",
    ),
    "_current_fx_name": (
        lambda trainer: trainer.lightning_module,
        "pytorch_lightning.trainer.call:_call_lightning_module_hook",
    ),
    "_call_lightning_module_hook": (
        lambda trainer: call,
        f"{LOOPS}.fit_loop:_FitLoop.on_run_start",
    ),
    "_should_check_val_fx": (
        lambda trainer: type(trainer.fit_loop.epoch_loop),
        f"{LOOPS}.training_epoch_loop:_TrainingEpochLoop.on_advance_end",
    ),
    "_data_fetcher": (lambda trainer: trainer.fit_loop, f"{LOOPS}.fit_loop:_FitLoop.advance"),
    "_computed": (lambda trainer: MeanMetric(), "torchmetrics.metric:Metric.reset"),
    "_restarting": (lambda trainer: trainer.fit_loop, f"{LOOPS}.loop:_Loop.restarting"),
    "_init_optimizers_and_lr_schedulers": (
        lambda trainer: optimizer,
        "pytorch_lightning.strategies.strategy:Strategy.setup_optimizers",
    ),
    "_module_mode": (
        lambda trainer: trainer.fit_loop.epoch_loop.val_loop,
        f"{LOOPS}.evaluation_loop:_EvaluationLoop._on_evaluation_model_eval",
    ),
    "_update_count": (lambda trainer: MeanMetric(), "torchmetrics.metric:Metric.update_count"),
    "_launch_process_observer": (
        lambda trainer: subprocess_script,
        "pytorch_lightning.strategies.launchers.subprocess_script:_SubprocessScriptLauncher.launch",
    ),
}


def dropped(trainer: pl.Trainer) -> list[str]:
    """Private names that are no longer there, or that the library no longer reads."""
    found = []
    for name, (owner, reader) in USES.items():
        try:
            function = pkgutil.resolve_name(reader)
            code = inspect.unwrap(getattr(function, "fget", None) or function).__code__
            if not hasattr(owner(trainer), name) or name not in code.co_names:
                found.append(name)
        except AttributeError as error:
            found.append(f"{name} ({error})")
    return found


class Model(pl.LightningModule):
    """Logs by step and by epoch, and has a metric object."""

    def __init__(self):
        super().__init__()
        self.layer, self.mean = nn.Linear(2, 1), MeanMetric()

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch[0]).square().mean()
        self.mean(loss)
        self.log("train_both", loss, on_step=True, on_epoch=True)
        self.log("train_most", loss, on_epoch=True, on_step=False, reduce_fx="max")
        self.log("train_mean", self.mean, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Logger(DummyLogger):
    def __init__(self):
        super().__init__()
        self.steps = []

    def log_metrics(self, metrics, step):
        self.steps.append(step)


def fit(*callbacks: pl.Callback, **trainer_args) -> tuple[pl.Trainer, Model]:
    """Trains two epochs of seven batches, whose gradients are accumulated over two."""
    torch.manual_seed(0)
    model, data = Model(), TensorDataset(torch.randn(14, 2))
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "accumulate_grad_batches": 2,
        "log_every_n_steps": 2,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": Logger(),
    }
    trainer = pl.Trainer(callbacks=list(callbacks), **(defaults | trainer_args))
    trainer.fit(model, DataLoader(data, batch_size=2))
    return trainer, model


@pytest.fixture(scope="module")
def internals(tree):
    return tree("engine.training.lightning_internals")


@pytest.fixture(scope="module")
def restart(tree):
    return tree("engine.training.lightning_restart")


@pytest.fixture(scope="module")
def trainer():
    return fit()[0]


def test_each_private_name_is_there_and_read(trainer):
    assert dropped(trainer) == []


@pytest.mark.parametrize("name", USES)
def test_a_name_that_a_release_drops_is_named(trainer, name, monkeypatch):
    owner = USES[name][0](trainer)
    if name in ("_update_count", "_computed"):  # of an object that is made anew each time
        monkeypatch.setattr(MeanMetric, "__init__", lambda self: None)
    else:
        monkeypatch.delattr(owner, name)
    assert name in " ".join(dropped(trainer)).split()


def test_torch_can_be_asked_for_its_compiler():
    """A private name of torch: engine/training/preflight.py refuses `compile` without one."""
    module = importlib.import_module("torch._inductor.cpp_builder")
    assert callable(module.get_cpp_compiler)


def test_torch_counts_the_changes_of_a_tensor():
    """The other private name of torch, which engine/training/state_codec.py compares."""
    tensor = torch.zeros(2)
    before = tensor._version
    tensor.detach().add_(1)
    assert tensor._version == before + 1


def private(tree: ast.Module) -> set[str]:
    """Private names that a source takes from a library: attributes, and what it imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if of not in ("self", "cls", "os", "sys"):
                found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARIES):
            found |= set(node.module.split("."))
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_all_private_names_stand_in_two_files():
    found = {}
    for path in ENGINE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if any(library in source for library in LIBRARIES):
            found[path] = private(ast.parse(source))
    assert set().union(*map(found.pop, INTERNALS)) == USES.keys()
    assert {path.name: names for path, names in found.items() if names} == {}
    sample = "from torchmetrics._a import _b\nx.fit_loop._c = self._d.e._f\n"
    assert private(ast.parse(sample)) == {"_a", "_b", "_c", "_f"}


def test_what_has_a_public_way_has_the_private_value(internals, tree):
    """In every batch: whether and under which step Lightning logs, and whether gradients wait."""
    ends_step, seen = tree("engine.training.save_points").ends_step, []
    results = tree("engine.training.lightning_results")

    class Probe(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            step = internals.logging_step(trainer)
            logs = internals.is_logging_step(trainer)
            assert logs == trainer._logger_connector.should_update_logs
            assert ends_step(trainer, batch_idx) == (not trainer.fit_loop._should_accumulate())
            seen.append((step, logs and ends_step(trainer, batch_idx)))
            assert results.logged_names(trainer) == {"train_both", "train_most", "train_mean"}

    trainer, _ = fit(Probe())
    assert [step for step, logs in seen if logs] == [1, 3, 5, 7]
    assert set(trainer.logger.steps) == {1, 3, 5, 7}  # 3 and 7 also with the means of an epoch


@pytest.mark.parametrize("every", [0, 1, 3])
def test_logging_steps_are_lightnings(internals, every):
    class Probe(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            for trainer.should_stop in (True, False):
                wanted = trainer._logger_connector.should_update_logs
                assert internals.is_logging_step(trainer) == wanted

    fit(Probe(), log_every_n_steps=every)


def test_sums_and_metrics_of_an_epoch_can_be_put_back(restart):
    """What is lost in mid-epoch and restored gives the means of an epoch that lost nothing."""

    class Losing(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx != 3:
                return
            latest = dict(trainer.callback_metrics)
            sums, states = restart.epoch_sums(trainer), restart.metric_states(pl_module)
            trainer._logger_connector.reset_results()
            pl_module.mean.reset()
            assert restart.epoch_sums(trainer) == []
            restart.restore_metrics(pl_module, states)
            restart.restore_epoch_sums(trainer, pl_module, sums, latest)
            restart.keep_epoch_sums(trainer)
            assert trainer.callback_metrics == latest
            assert pl_module.mean.update_count == 3

    kept, lost = (fit(*callbacks)[0].callback_metrics for callbacks in ([], [Losing()]))
    assert kept == lost
    assert kept.keys() >= {"train_both", "train_both_step", "train_most", "train_mean"}


def test_a_restart_can_be_ended_also_with_max_steps(restart):
    trainer, _ = fit(max_steps=3)
    trainer.fit_loop.restarting = False
    assert trainer.fit_loop.restarting, "Lightning's own setter will do: drop `end_restart`"
    restart.end_restart(trainer)
    assert not trainer.fit_loop.restarting
    assert not trainer.fit_loop.epoch_loop.restarting


def test_progress_has_the_keys_that_are_levelled(trainer):
    loops = trainer.fit_loop.state_dict()
    batches = ("epoch_loop.batch_progress", "epoch_loop.val_loop.batch_progress")
    for key in (
        "epoch_progress",
        "epoch_loop.batch_progress",
        "epoch_loop.val_loop.batch_progress",
    ):
        for progress in (loops[key]["total"], loops[key]["current"]):
            assert progress.keys() == {"ready", "started", "processed", "completed"}
    assert all("is_last_batch" in loops[key] for key in batches)
    assert "_batches_that_stepped" in loops["epoch_loop.state_dict"]


@pytest.mark.parametrize("problem", [None, ValueError])
def test_what_is_patched_is_put_back(internals, problem):
    class Failing(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            # By text: what a class names in its code is not skipped.
            for owner, hook in ((self, "on_after_backward"), (pl_module, "on_train_batch_start")):
                assert not callable(getattr(owner, hook))
            assert subprocess_script._launch_process_observer is observer
            if problem:
                raise problem

    def observer(children):
        pass

    model, callback, before = Model(), Failing(), subprocess_script._launch_process_observer
    data = DataLoader(TensorDataset(torch.randn(4, 2)))
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=[callback], **quiet)

    def train():
        with internals.observed_by(observer), internals.empty_hooks_skipped(trainer, model):
            trainer.fit(model, data)

    if problem:
        with pytest.raises(problem):
            train()
    else:
        train()
    assert subprocess_script._launch_process_observer is before
    for hook in internals.HOOKS_OF_A_STEP:
        assert callable(getattr(callback, hook))
        assert callable(getattr(model, hook))
