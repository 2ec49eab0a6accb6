"""A typo never trains; everything that the classes take is accepted, listed in the file or not.

In one process, through the same entry point as the console command, on the stamped default.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
from helpers import DEFAULT

# What the libraries say of odd but valid settings is theirs: a command of its own would only warn.
pytestmark = pytest.mark.filterwarnings("default")

SMALL = [
    "dataset_args.source=sample",
    "trainer_args.max_epochs=1",
    "trainer_args.limit_train_batches=2",
    "trainer_args.limit_val_batches=1",
]


@pytest.fixture(scope="module")
def train_ex(stamped):
    project = stamped[DEFAULT]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project.path / "src"))
        yield importlib.import_module(f"{project.package.name}.runner").train_ex


@pytest.fixture
def train(train_ex, tmp_path, monkeypatch, capfd):
    """Types a command; returns exit status, what was printed, and how many run folders it left."""
    monkeypatch.chdir(tmp_path)

    def train(*words: str) -> tuple[int, str, int]:
        status = 0
        try:
            train_ex.run_commandline(["train", *words])
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
        out, err = capfd.readouterr()
        return status, out + err, len(list(Path("model_data").glob("*/*")))

    return train


MISTYPED = [  # what is typed after `train`, and what the one line has to say
    # names, at every level
    ("with trainer_args.max_epoch=1", "did you mean 'max_epochs'?"),
    ("with trainer_args.maxepochs=1", "did you mean 'max_epochs'?"),
    ("with trainer_args.acelerator=cpu", "did you mean 'accelerator'?"),
    ("with trainer_args.gpus=1", "unknown"),
    ("with trainer_args.gradient_clip=1.", "did you mean 'gradient_clip_val'?"),
    ("with dataloader_args.batchsize=8", "did you mean 'batch_size'?"),
    ("with dataloader_args.num_worker=1", "did you mean 'num_workers'?"),
    ("with dataloader_args.suffle=False", "did you mean 'shuffle'?"),
    ("with model_args.hidden_dim=8", "did you mean 'hidden_dimension'?"),
    ("with model_args.lr=1", "unknown"),
    ("with model_args.learning_rat=1.", "did you mean 'learning_rate'?"),
    ("with dataset_args.sorce=full", "did you mean 'source'?"),
    ("with dataset_args.path=x", "there are: data_dir, shift, source"),
    ("with learning_rate=1.", "did you mean 'model_args.learning_rate'?"),
    ("with max_epochs=1", "did you mean 'trainer_args.max_epochs'?"),
    ("with batch_size=8", "did you mean 'dataloader_args.batch_size'?"),
    ("with gradient_clip_val=1.", "did you mean 'trainer_args.gradient_clip_val'?"),
    ("with sed=1", "did you mean 'seed'?"),
    ("with trainer.max_epochs=1", "did you mean 'trainer_args'?"),
    ("with model_nam=X", "did you mean 'model_name'?"),
    ("with model_name=MNISTModl", "did you mean 'MNISTModel'?"),
    ("with model_name=Foo", "there are: MNISTModel"),
    ("with dataset_name=MNISTData", "did you mean 'MNISTDataset'?"),
    ("with monitor=val_los", "did you mean 'val_loss'?"),
    ("with debgu", "did you mean 'debug'?"),
    ("with config.json", "unknown"),
    ("trian", "did you mean 'train'?"),
    ("print_confg", "did you mean 'print_config'?"),
    ("--unobservd", "did you mean '--unobserved'?"),
    ("model_name=MNISTModel", "write `train with model_name=MNISTModel"),
    # stray spaces
    ("with max_epochs =2", "did you mean 'trainer_args.max_epochs'?"),
    ("with trainer_args.max_epochs =2", "without spaces"),
    ("with trainer_args.max_epochs= 2", "without spaces"),
    ("with seed = 3", "without spaces"),
    # types
    ("with seed=3.5", "it takes int"),
    ("with seed=-1", "0 to 2**32 - 1"),
    ("with seed=None", "it takes int"),
    ("with seed.x=3", "it takes int"),
    ("with model_args=5", "it takes dict"),
    ("with model_name=3", "it takes str"),
    ("with trainer_args.max_epochs=abc", "it takes int or None"),
    ("with trainer_args.max_epochs=1.5", "it takes int or None"),
    ("with trainer_args.precision=17", "'16-mixed'"),
    ("with trainer_args.callbacks=foo", "Callback"),
    ("with dataloader_args.batch_size=many", "it takes int or None"),
    ("with dataloader_args.num_workers=True", "it takes int"),
    ("with model_args.hidden_dimension=wide", "it takes int"),
    ("with model_args.learning_rate=fast", "it takes float"),
    ("with model_args.input_shape=[1,28]", "tuple[int, int, int]"),
    ("with dataset_args.data_dir=3", "it takes str"),
    ("with monitor_mode=mini", "'min' or 'max'"),
    ("with early_stopping_patience=long", "it takes int or None"),
    ("with trainer_args.logger=abc", "Logger"),
    ("with early_stopping_patience=-1", "0 or more"),
    ("with model_name=mnistmodel", "did you mean 'MNISTModel'?"),
    ("with", "nothing follows `with`"),
    ("wiht seed=3", "is not understood"),
    ("-i ../evil", "a run cannot be called"),
    ("-b abc", "could not convert"),
    # what the classes themselves refuse, in their own words
    ("with dataset_args.source=Full", "'full'"),
    ("with dataset_args.split=test", "set by the runner"),
    ("with dataloader_args.sampler=3", "set by the runner"),
    ("with dataloader_args.batch_size=-4", "positive integer"),
    ("with dataloader_args.prefetch_factor=2", "num_workers > 0"),
    ("with dataloader_args.timeout=-1", "timeout"),
    ("with trainer_args.accelerator=gpuu", "cpu"),
    ("with trainer_args.accelerator=gpu", "gpu"),
    ("with trainer_args.strategy=ddq", "ddp"),
    ("with trainer_args.strategy=fsdp", "`fsdp` requires a GPU"),
    ("with threads=0", "threads=0 does not fit: it takes 1 or more"),
    ("with trainer_args.limit_train_batches=1.5", "[0.0, 1.0]"),
    ("with trainer_args.devices=0", "0"),
]


@pytest.mark.parametrize(("typed", "said"), MISTYPED, ids=[typed for typed, _ in MISTYPED])
def test_mistyped(train, typed, said):
    words = typed.split(" ")
    if words[0] == "with" and len(words) > 1:
        words[1:1] = SMALL[:1]
    status, printed, folders = train(*words)
    assert status == 1
    assert said in printed
    lines = [line for line in printed.splitlines() if line.strip()]
    if "monitor=" in typed:  # known only once the model has validated a batch
        lines = lines[-1:]
    else:
        assert folders == 0
    assert len(lines) == 1, printed
    assert lines[0].startswith("UserError: ")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("model_args.hidden_dimension=-3", "negative dimension"),
        ("model_args.learning_rate=-1.0", "Invalid learning rate"),
        ("trainer_args.val_check_interval=100000", "val_check_interval"),
        ("dataloader_args.batch_size=10000 dataloader_args.drop_last=True", "make no batch"),
        ("trainer_args.limit_val_batches=0 early_stopping_patience=1", "val_loss"),
    ],
)
def test_what_shows_only_when_training_starts(train, typed, said):
    status, printed, _ = train("with", *SMALL[:1], *typed.split(" "))
    assert status == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("UserError: ")]
    assert said in line
    assert "Traceback" not in printed


VALID = [
    "seed=7",
    "log_dir=elsewhere",
    "early_stopping_patience=2",
    "monitor=val_accuracy monitor_mode=max",
    "monitor=train_loss",
    "model_args.hidden_dimension=16",
    "model_args.learning_rate=1",
    "model_args.num_classes=12",
    "model_args={'hidden_dimension':8}",
    "dataloader_args.batch_size=7",
    "dataloader_args.shuffle=False",
    "dataloader_args.shuffle=True",
    "dataloader_args.drop_last=True",
    "dataloader_args.num_workers=1",
    "dataloader_args.num_workers=1 dataloader_args.persistent_workers=True",
    "dataloader_args.num_workers=1 dataloader_args.prefetch_factor=3",
    "dataloader_args.num_workers=1 dataloader_args.multiprocessing_context=spawn",
    "dataloader_args.pin_memory=False",
    "dataloader_args.timeout=0",
    "dataloader_args.sampler=None",
    "dataloader_args.collate_fn=None",
    "dataset_args.data_dir=another/place",
    "trainer_args.fast_dev_run=True",
    "trainer_args.max_steps=1",
    "trainer_args.max_time=00:00:01:00",
    "trainer_args.min_epochs=1",
    "trainer_args.limit_val_batches=0",
    "trainer_args.limit_val_batches=0.5",
    "trainer_args.overfit_batches=1",
    "trainer_args.check_val_every_n_epoch=1",
    "trainer_args.val_check_interval=1",
    "trainer_args.num_sanity_val_steps=0",
    "trainer_args.log_every_n_steps=1",
    "trainer_args.enable_checkpointing=False",
    "trainer_args.enable_progress_bar=False",
    "trainer_args.enable_model_summary=True",
    "trainer_args.accumulate_grad_batches=2",
    "trainer_args.gradient_clip_val=1",
    "trainer_args.gradient_clip_val=0.5 trainer_args.gradient_clip_algorithm=norm",
    "trainer_args.deterministic=True",
    "trainer_args.benchmark=False",
    "trainer_args.inference_mode=False",
    "trainer_args.use_distributed_sampler=True",
    "trainer_args.profiler=simple",
    "trainer_args.detect_anomaly=True",
    "trainer_args.barebones=True",
    "trainer_args.logger=False",
    "trainer_args.logger=True",
    "trainer_args.precision=bf16-mixed",
    "trainer_args.precision=32",
    "trainer_args.accelerator=cpu trainer_args.devices=1",
    "trainer_args.strategy=auto",
    "trainer_args.reload_dataloaders_every_n_epochs=1",
    "trainer_args.default_root_dir=root",
    "debug",
    "profile",
]


SLOW = [pytest.param(typed, marks=pytest.mark.slow) for typed in VALID if "spawn" in typed]


@pytest.mark.parametrize("typed", [typed for typed in VALID if "spawn" not in typed] + SLOW)
def test_valid(train, typed):
    small = SMALL if typed not in ("debug", "profile") else SMALL[:1]
    status, printed, _ = train("with", *small, *typed.split(" "))
    assert status == 0, printed
    records = [*Path("model_data").glob("*/*/run.json"), *Path("elsewhere").glob("*/*/run.json")]
    assert ['"status": "COMPLETED"' in record.read_text() for record in records] == [True]
    assert "UserError" not in printed


def test_nothing_is_written_where_nothing_is_stored(train):
    status, _, folders = train("-u", "with", *SMALL)
    assert (status, folders) == (0, 0)
    assert os.listdir() == []


def test_help_and_configuration_need_no_torch(installed, tmp_path):
    """Nor does the refusal of a name: all are there in a moment."""
    project = installed()
    code = (
        f"import sys; from {project.package.name}.runner import train_ex\n"
        "try: train_ex.run_commandline(sys.argv)\n"
        "finally: print('torch' in sys.modules)"
    )
    for words in (["help"], ["print_config"], ["with", "trainer_args.max_epoch=1"]):
        done = project("python", "-c", code, *words, cwd=tmp_path, check=False)
        assert [line for line in done.stdout.splitlines() if line in ("True", "False")] == ["False"]
