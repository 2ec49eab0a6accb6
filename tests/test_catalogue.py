"""Every combination of starters trains, evaluates and beats a trivial baseline, offline.

Those that cover each starter once are installed as well, and pass their own tests.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import COVER, DEFAULT, SIDECARS, TRIPLES, Project, maker, read, serving

LOWER_IS_BETTER = ("test_rmse", "test_mase", "test_bits_per_character")
FEW = ["trainer_args.limit_train_batches=40", "dataloader_args.batch_size=32"]
# Arguments that make a training as small as one can be that still beats the trivial baseline.
SMALL = {
    "mnist_classifier": ["trainer_args.max_epochs=3"],
    "cnn": ["trainer_args.max_epochs=3"],
    "resnet": ["trainer_args.max_epochs=3", "model_args.depth=8", *FEW],
    "vit": [
        "trainer_args.max_epochs=3",
        "model_args.num_layers=2",
        "model_args.embedding_dimension=64",
        *FEW,
    ],
    "vae": ["trainer_args.max_epochs=20", *FEW],
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
def supplied(dataset: str, project: Project, folder: Path):
    """Gives a project what a user without a network lacks, as long as this context lasts.

    Sets that are not bundled are made up in their official format, and fetched from this machine.
    """
    if dataset == "image_folder":
        maker(dataset).write(folder / "data" / "images")
    if dataset not in ("fashion_mnist", "cifar10"):
        yield
        return
    made = folder / "made"
    made.mkdir()
    maker(dataset).write(made, train=1500)
    plug_in = project.package / SIDECARS["dataset"][dataset]["files"][0]
    as_stamped = plug_in.read_text()
    with serving(folder / "mirror") as mirror:
        offer = {"fashion_mnist": offer_fashion_mnist, "cifar10": offer_cifar10}[dataset]
        source = offer(made, mirror.folder, as_stamped)
        address = f'MIRRORS = (\n    "{mirror.url}",\n)\n'
        source = re.sub(r"^MIRRORS = \((?s:.*?)\)\n", address, source, flags=re.MULTILINE)
        plug_in.write_text(source)
        yield
        assert any(word.startswith("GET") for word in mirror.asked)
    plug_in.write_text(as_stamped)  # other tests look at it, too


def offer_fashion_mnist(made: Path, mirror: Path, source: str) -> str:
    """Packs each file; returns the plug-in's source with their checksums."""
    for path in made.iterdir():
        packed = gzip.compress(path.read_bytes(), 1)
        (mirror / f"{path.name}.gz").write_bytes(packed)
        md5 = hashlib.md5(packed).hexdigest()
        source = re.sub(rf'("{path.name}": )"\w+"', rf'\1"{md5}"', source)
    return source


def offer_cifar10(made: Path, mirror: Path, source: str) -> str:
    """Packs all files into one archive; returns the plug-in's source with its checksum."""
    archive = mirror / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        packed.add(made, "cifar-10-batches-bin")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    return re.sub(r'^MD5 = "\w+"', f'MD5 = "{md5}"', source, flags=re.MULTILINE)


@pytest.fixture(scope="module", params=TRIPLES, ids="-".join)
def trained(request, stamped, installed, forks, tmp_path_factory):
    """A combination, trained and evaluated: by its installed commands, or in forks.

    Those that cover each starter once are installed; importing the libraries for each of the
    others would take more time than all the rest.
    """
    triple, folder = request.param, tmp_path_factory.mktemp("work")
    project = installed(triple) if triple in COVER else stamped[triple]

    def command(*words: str) -> str:
        if triple in COVER:
            return project(*words, cwd=folder).stdout
        return forks.run(project, *words, cwd=folder)

    dataset, model, _ = triple
    words = [*SMALL.get(model, []), *(["dataset_args.source=sample"] if dataset == "mnist" else [])]
    with supplied(dataset, project, folder):
        train = command("train", "with", "seed=1", *words)
        sources = {path: path.read_bytes() for path in project.package.rglob("*.py")}
    # There is no server any more. By number: some of these are trial runs.
    evaluate = command("evaluate", "with", "run=1")
    run = folder / "model_data" / SIDECARS["model"][model]["class_name"] / "1"
    return SimpleNamespace(
        triple=triple, project=project, run=run, train=train, evaluate=evaluate, sources=sources
    )


def test_beats_the_trivial_baseline(trained):
    results = read(trained.run / "evaluations" / "1" / "results.json")
    row = SIDECARS["evaluator"][trained.triple[2]]
    score, baseline = results[row["score"]], results[row["baseline"]]
    assert score < baseline if row["score"] in LOWER_IS_BETTER else score > baseline
    assert re.search(rf"^{row['score']} +{score:.4f}$", trained.evaluate, re.MULTILINE)
    if trained.triple == DEFAULT:
        assert score > 0.9
    if trained.triple[:2] == ("mnist", "cnn"):
        assert score > 0.93


def test_nothing_warns_and_lines_are_plain(trained):
    for printed in (trained.train, trained.evaluate):
        assert not re.search(r"warn|deprecat|tip:|GPU available|\x1b|\r|it/s", printed, re.I)
    epochs = [line for line in trained.train.splitlines() if line.startswith("epoch ")]
    assert epochs
    assert all(re.match(r"epoch \d+/\d+  train_\w+ \d", line) for line in epochs)


def test_the_folder_of_a_run_is_complete(trained):
    project, run = trained.project, trained.run
    record, config, info = (read(run / f"{name}.json") for name in ("run", "config", "info"))
    assert record["status"] == "COMPLETED"
    assert record["host"]["hostname"]
    assert record["result"]["best_val_loss"] >= 0
    versions = dict(item.split("==") for item in record["experiment"]["dependencies"])
    known = {project.path.name} if trained.triple in COVER else set()
    assert {"torch", "pytorch-lightning", "sacred"} | known <= set(versions)
    for source, content in trained.sources.items():
        stored = run / "sources" / source.relative_to(project.package.parent)
        assert stored.read_bytes() == content
    assert (run / "cout.txt").read_text() == trained.train
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
    run, folder = trained.run, trained.run / "evaluations" / "1"
    assert read(folder / "run.json")["status"] == "COMPLETED"
    assert read(folder / "run.json")["result"] == read(folder / "results.json")
    assert read(folder / "info.json")["run"] == f"{run.parent.name}/1"
    assert (folder / "cout.txt").read_text() == trained.evaluate
    for name, beginning in FILES.get(trained.triple[2], {}).items():
        assert (folder / name).read_bytes().startswith(beginning), name


@pytest.mark.parametrize("covered", COVER, ids="-".join)
def test_its_own_tests_pass(covered, installed):
    """They test a starter at a time, so those that cover each starter once are enough."""
    project = installed(covered)
    words = ["pytest", "-p", "no:cacheprovider", "-W", "error::DeprecationWarning"]
    done = project("python", "-m", *words, cwd=project.path, PYTHONDONTWRITEBYTECODE="1")
    assert re.search(r"^\d+ passed(, \d+ skipped)? in", done.stdout, re.MULTILINE), done.stdout
    skipped = re.findall(r"^SKIPPED .*", done.stdout, re.MULTILINE)
    # `CustomDataset` has no `__getitems__`, so no whole batches to compare its examples with, and
    # no starter a `test_step`: that is for the models of whoever moves in.
    known = re.compile("it reads one example at a time|TestStep fits no model that is here")
    assert all(map(known.search, skipped)), skipped
