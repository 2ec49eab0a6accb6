"""Every combination of starters: stamped, installed, tested by itself, trained, evaluated."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.util
import re
import tarfile

import pytest
from conftest import DEFAULT, SIDECARS, TREE, TRIPLES, read, serving

LOWER_IS_BETTER = ("test_rmse", "test_mase", "test_bits_per_character")
# Arguments that make a training as small as one can be that still beats the trivial baseline.
SMALL = {
    "mnist_classifier": ["trainer_args.max_epochs=3"],
    "cnn": ["trainer_args.max_epochs=3"],
    "resnet": ["trainer_args.max_epochs=3", "model_args.depth=8", "dataloader_args.batch_size=32"],
    "vit": [
        "trainer_args.max_epochs=3",
        "model_args.num_layers=2",
        "model_args.embedding_dimension=64",
        "dataloader_args.batch_size=32",
    ],
    "vae": ["trainer_args.max_epochs=20", "dataloader_args.batch_size=32"],
    "tabular_mlp": ["trainer_args.max_epochs=20"],
    "gpt": [
        "model_args.num_layers=2",
        "model_args.embedding_dimension=64",
        "trainer_args.max_epochs=1",
    ],
    "lstm": ["model_args.hidden_dimension=64", "trainer_args.max_epochs=1"],
    "dlinear": ["trainer_args.max_epochs=3"],
    "tcn": ["trainer_args.max_epochs=2", "model_args.channels=16"],
    "custom": ["trainer_args.max_epochs=5"],
}


@contextlib.contextmanager
def supplied(dataset: str, project, folder):
    """Gives a project what a user without a network lacks, as long as this context lasts.

    Sets that are not bundled are made up in their official format, and fetched from this machine.
    """
    if dataset not in ("fashion_mnist", "cifar10", "image_folder"):
        yield
        return
    (name,) = SIDECARS["dataset"][dataset]["tests"]
    spec = importlib.util.spec_from_file_location(name[:-3], TREE / "tests" / name)
    files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(files)
    if dataset == "image_folder":
        files.write(folder / "data" / "images")
        yield
        return
    mirror, made = folder / "mirror", folder / "made"
    for path in (mirror, made):
        path.mkdir()
    files.write(made, train=1500)
    plug_in = project.package / SIDECARS["dataset"][dataset]["files"][0]
    source = plug_in.read_text()
    if dataset == "fashion_mnist":
        for path in made.iterdir():
            packed = gzip.compress(path.read_bytes(), 1)
            (mirror / f"{path.name}.gz").write_bytes(packed)
            md5 = hashlib.md5(packed).hexdigest()
            source = re.sub(rf'("{path.name}": )"\w+"', rf'\1"{md5}"', source)
    else:
        archive = mirror / "cifar-10-binary.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
            packed.add(made, "cifar-10-batches-bin")
        md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        source = re.sub(r'^MD5 = "\w+"', f'MD5 = "{md5}"', source, flags=re.MULTILINE)
    plug_in.write_text(source)
    with serving(mirror) as server:
        address = f'MIRRORS = (\n    "{server.url}",\n)\n'
        source = re.sub(r"^MIRRORS = \((?s:.*?)\)\n", address, source, flags=re.MULTILINE)
        plug_in.write_text(source)
        yield
        assert any(word.startswith("GET") for word in server.asked)


@pytest.fixture(scope="module", params=TRIPLES, ids="-".join)
def trained(request, stamped, installed, tmp_path_factory):
    """A combination, installed, trained and evaluated by its own commands."""
    project, folder = installed(request.param), tmp_path_factory.mktemp("work")
    dataset, model, _ = request.param
    words = ["dataset_args.source=sample"] if dataset == "mnist" else []
    plug_in = project.package / SIDECARS["dataset"][dataset]["files"][0]
    source = plug_in.read_text()
    with supplied(dataset, project, folder):
        train = project("train", "with", "seed=1", *SMALL.get(model, []), *words, cwd=folder)
    evaluate = project("evaluate", cwd=folder)  # there is no server any more
    run = folder / "model_data" / SIDECARS["model"][model]["class_name"] / "1"
    yield project, run, train.stdout, evaluate.stdout, request.param
    plug_in.write_text(source)  # as it was stamped: other tests look at it, too


def test_beats_the_trivial_baseline(trained):
    _, run, _, printed, triple = trained
    results = read(run / "evaluations" / "1" / "results.json")
    row = SIDECARS["evaluator"][triple[2]]
    score, baseline = results[row["score"]], results[row["baseline"]]
    assert score < baseline if row["score"] in LOWER_IS_BETTER else score > baseline
    assert re.search(rf"^{row['score']} +{score:.4f}$", printed, re.MULTILINE)
    if triple == DEFAULT:
        assert score > 0.9
    if triple[:2] == ("mnist", "cnn"):
        assert score > 0.93


def test_nothing_warns_and_lines_are_plain(trained):
    _, _, train, evaluate, _ = trained
    for printed in (train, evaluate):
        assert not re.search(r"warn|deprecat|tip:|GPU available|\x1b|\r|it/s", printed, re.I)
    epochs = [line for line in train.splitlines() if line.startswith("epoch ")]
    assert epochs
    assert all(re.match(r"epoch \d+/\d+  train_\w+ \d", line) for line in epochs)


def test_the_folder_of_a_run_is_complete(trained):
    project, run, printed, _, _ = trained
    record, config, info = (read(run / f"{name}.json") for name in ("run", "config", "info"))
    assert record["status"] == "COMPLETED"
    assert record["host"]["hostname"]
    assert record["result"]["best_val_loss"] >= 0
    versions = dict(item.split("==") for item in record["experiment"]["dependencies"])
    assert {"torch", "pytorch-lightning", "sacred", project.path.name} <= set(versions)
    for source in project.package.rglob("*.py"):
        stored = run / "sources" / source.relative_to(project.package.parent)
        assert stored.read_bytes() == source.read_bytes()
    assert (run / "cout.txt").read_text() == printed
    metrics = read(run / "metrics.json")
    epochs = config["trainer_args"]["max_epochs"]
    assert len(metrics["val_loss"]["values"]) == len(metrics["train_loss"]["values"]) == epochs
    assert min(metrics["val_loss"]["values"]) == pytest.approx(record["result"]["best_val_loss"])
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list(run.glob("events.out.tfevents.*"))
    assert set(config["model_args"]) < set(info["model_args"])  # with every default spelled out


FILES = {  # of an evaluation, besides its record: each with what it begins with
    "classification_report": {
        "confusion_matrix.png": b"\x89PNG",
        "per_class.csv": b"class,precision,recall,f1,examples\r\n",
        "mistakes.csv": b"example,true,predicted,confidence\r\n",
    },
    "regression_report": {"predictions.png": b"\x89PNG", "predictions.csv": b"true,predicted\r\n"},
    "reconstruction_report": {"reconstructions.png": b"\x89PNG", "samples.png": b"\x89PNG"},
    "language_report": {"generated.txt": b""},
    "forecast_report": {"forecasts.png": b"\x89PNG", "per_step.csv": b"series,step,mae,"},
}


def test_an_evaluation_is_recorded(trained):
    _, run, _, printed, triple = trained
    folder = run / "evaluations" / "1"
    assert read(folder / "run.json")["status"] == "COMPLETED"
    assert read(folder / "run.json")["result"] == read(folder / "results.json")
    assert read(folder / "info.json")["run"] == f"{run.parent.name}/1"
    assert (folder / "cout.txt").read_text() == printed
    for name, beginning in FILES.get(triple[2], {}).items():
        assert (folder / name).read_bytes().startswith(beginning), name


def test_its_own_tests_pass(trained):
    project = trained[0]
    words = ["pytest", "-p", "no:cacheprovider", "-W", "error::DeprecationWarning"]
    done = project("python", "-m", *words, cwd=project.path, PYTHONDONTWRITEBYTECODE="1")
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout
