"""The stamped project on its real path: installed, then used through its console commands."""

from __future__ import annotations

import signal
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import (
    DEBUG,
    DEFAULT,
    TRIPLES,
    WHOLE,
    finish,
    read,
    run_command,
    start_command,
    until,
)


@pytest.fixture(scope="module")
def project(installed):
    return installed(DEFAULT)


def test_runs_are_found_by_every_name(project, tmp_path):
    for seed in (1, 2):
        project("train", *WHOLE, f"seed={seed}", cwd=tmp_path)
    runs = tmp_path / "model_data" / "MNISTModel"
    losses = {i: read(runs / i / "run.json")["result"]["best_val_loss"] for i in ("1", "2")}
    best = min(losses, key=losses.get)
    checkpoint = "model_data/MNISTModel/1/checkpoints/last.ckpt"
    for words, run in (
        (["run=1"], "1"),
        (["run=MNISTModel/2"], "2"),
        (["run=last"], "2"),
        (["run=best"], best),
        ([f"checkpoint_path={checkpoint}"], "1"),
    ):
        printed = project("evaluate", "with", *words, cwd=tmp_path).stdout
        assert f"run    MNISTModel/{run} " in printed, words
    count = sum(len(list(runs.glob(f"{i}/evaluations/*"))) for i in losses)
    assert count == 5

    for words, said in (
        (["run=99"], "there are MNISTModel/1, MNISTModel/2"),
        (["run=CNN/1"], "there are MNISTModel/1, MNISTModel/2"),
        (["run=../x"], "there are MNISTModel/1, MNISTModel/2"),
        (["checkpoint_path=model_data/MNISTModel/1/checkpoints/lst.ckpt"], "last.ckpt'?"),
        (["evaluator_name=ClassReport"], "did you mean 'ClassificationReport'?"),
        (["evaluator_args.bins=3"], "did you mean 'num_bins'?"),
        (["dataset_args.sorce=sample"], "did you mean 'source'?"),
        (["device=gpuu"], "device='gpuu'"),
    ):
        refused = project("evaluate", "with", *words, cwd=tmp_path, check=False)
        assert refused.returncode == 1, words
        assert said in refused.stdout, words
        assert "Traceback" not in refused.stdout
    # Only the device is known to be wrong when the evaluation has already begun.
    assert sum(len(list(runs.glob(f"{i}/evaluations/*"))) for i in losses) == count + 1


def test_evaluate_before_train_says_so(project, tmp_path):
    refused = project("evaluate", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "type `train` first" in refused.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_stored_configuration_trains_again(project, tmp_path):
    project("train", *DEBUG, "model_args.hidden_dimension=32", cwd=tmp_path)
    runs = tmp_path / "model_data" / "MNISTModel"
    project("train", "with", "model_data/MNISTModel/1/config.json", cwd=tmp_path)
    first, second = (read(runs / run / "metrics.json") for run in "12")
    assert first["val_loss"]["values"] == second["val_loss"]["values"]
    assert read(runs / "2" / "config.json")["model_args"]["hidden_dimension"] == 32


def test_overfit_goes_to_zero_and_profile_shows_where_time_goes(project, tmp_path):
    project("train", "with", "overfit", "dataset_args.source=sample", cwd=tmp_path)
    metrics = read(tmp_path / "model_data" / "MNISTModel" / "1" / "metrics.json")
    assert metrics["train_loss"]["values"][-1] < 0.01
    words = ["profile", "dataset_args.source=sample", "trainer_args.limit_train_batches=3"]
    printed = project("train", "with", *words, cwd=tmp_path).stdout
    assert "run_training_batch" in printed
    assert (tmp_path / "model_data" / "MNISTModel" / "2" / "profile.txt").is_file()


def test_nothing_warns_where_nothing_is_validated(project, tmp_path):
    words = ["overfit", "dataset_args.source=sample", "trainer_args.max_epochs=2"]
    printed = project("train", "with", *words, cwd=tmp_path).stdout
    assert len(printed.splitlines()) == 6, printed
    # Of the last checkpoint, as there is no best one.
    project("evaluate", "with", "run=1", cwd=tmp_path)


def test_other_observers_work_beside_ours(project, tmp_path):
    project("train", "-F", "other", *DEBUG, cwd=tmp_path)
    assert read(tmp_path / "other" / "1" / "run.json")["status"] == "COMPLETED"
    assert (tmp_path / "model_data" / "MNISTModel" / "1" / "checkpoints").is_dir()


def test_a_damaged_run_folder_is_named(project, tmp_path):
    project("train", *DEBUG, cwd=tmp_path)
    run = tmp_path / "model_data" / "MNISTModel" / "1"
    for name, content in (
        ("info.json", '{"dataset_args": 3}'),
        ("config.json", "{}"),
        ("run.json", '{"status": "COMP'),
    ):
        (run / name).write_text(content)
        refused = project("evaluate", "with", "run=1", cwd=tmp_path, check=False)
        assert refused.returncode == 1
        assert name in refused.stdout
        assert "Traceback" not in refused.stdout


def test_a_text_is_read_with_the_numbers_of_the_run(installed, tmp_path):
    """Another text has another alphabet: never numbers of characters that mean others now."""
    project = installed(next(triple for triple in TRIPLES if triple[1] == "gpt"))
    mine, other = tmp_path / "mine.txt", tmp_path / "other.txt"
    mine.write_text("The quick brown fox jumps over the lazy dog.\n" * 60)
    small = ["dataset_args.path=mine.txt", "model_args.num_layers=1", "dataset_args.block_size=16"]
    # no end is known here, so the learning rate does not fall
    endless = ["trainer_args.max_epochs=-1", "trainer_args.max_steps=-1"]
    endless += ["trainer_args.max_time=00:00:00:03"]
    printed = project("train", "with", *small, *endless, cwd=tmp_path).stdout
    losses = read(tmp_path / "model_data/GPT/1/metrics.json")["train_loss"]["values"]
    assert losses[-1] < losses[0] - 1, printed
    first = read_results(project, tmp_path, 1)
    mine.write_text(mine.read_text().replace("q", "k"))  # one letter less in the alphabet
    assert abs(read_results(project, tmp_path, 2) - first) < 1
    other.write_text("Ångström " * 300)
    for words, said in (
        (["dataset_args.path=other.txt"], "characters that the vocabulary does not: 'Åö'"),
        (["dataset_args.block_size=32"], "block_size is 32 now, but GPT/1 was trained with 16"),
        (["evaluator_args.temperature=0"], "above 0"),
    ):
        refused = project("evaluate", "with", *words, cwd=tmp_path, check=False)
        assert refused.returncode == 1
        assert said in refused.stdout
        assert "Traceback" not in refused.stdout


def read_results(project, folder: Path, number: int) -> float:
    project("evaluate", cwd=folder)
    results = read(folder / "model_data" / "GPT" / "1" / "evaluations" / f"{number}/results.json")
    return results["test_bits_per_character"]


def test_early_stopping(project, tmp_path):
    words = ["early_stopping_patience=1", "monitor=val_loss", "model_args.learning_rate=0.0"]
    words += ["trainer_args.max_epochs=9", "dataset_args.source=sample"]
    printed = project("train", "with", *words, cwd=tmp_path).stdout
    assert "epoch 2/9" in printed
    assert "epoch 3/9" not in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", ["model  ", "epoch 1/"])
def test_a_stopped_run_says_so(project, tmp_path, number, after):
    words = ["dataset_args.source=sample", "trainer_args.max_epochs=1000"]
    process = start_command([project.python.with_name("train"), "with", *words], tmp_path)
    printed = until(process, after)
    process.send_signal(number)
    printed += finish(process)
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    assert "Interrupted: train was stopped" in printed
    run = tmp_path / "model_data" / "MNISTModel" / "1"
    assert read(run / "run.json")["status"] == "INTERRUPTED"
    steps = {
        path.name: torch.load(path, weights_only=True)["global_step"]
        for path in (run / "checkpoints").glob("*.ckpt")
    }
    if after == "epoch 1/":
        assert steps["best.ckpt"] % 141 == 0  # of the end of an epoch: not replaced by the stop
        assert steps["last.ckpt"] >= steps["best.ckpt"]


def test_module_instead_of_command(project, tmp_path):
    module = f"{project.package.name}.runner"
    project("python", "-m", module, "train", *DEBUG, cwd=tmp_path)
    project("python", "-m", module, "evaluate", "with", "run=1", cwd=tmp_path)
    assert (tmp_path / "model_data/MNISTModel/1/evaluations/1/results.json").is_file()
    refused = project("python", "-m", module, "tran", cwd=tmp_path, check=False)
    assert (refused.returncode, "did you mean 'train'?" in refused.stdout) == (1, True)


def test_two_processes_leave_one_run(project, tmp_path):
    words = ["dataset_args.source=sample", "trainer_args.max_epochs=1"]
    words += ["trainer_args.devices=2", "trainer_args.accelerator=cpu", "trainer_args.strategy=ddp"]
    printed = project("train", "with", *words, cwd=tmp_path).stdout
    assert printed.count("epoch 1/1") == 1
    (run,) = (tmp_path / "model_data" / "MNISTModel").iterdir()
    assert read(run / "run.json")["status"] == "COMPLETED"
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert not (tmp_path / "checkpoints").exists()


def test_a_wheel_has_the_sample(project, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run_command([*command, "-w", tmp_path, project.path], tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    package = project.package.name
    assert f"{package}/datasets/mnist_sample/train-images-idx3-ubyte.gz" in names
    assert f"{package}/datasets/mnist_sample/SOURCE.md" in names
