"""One damaged run folder, however damaged, never breaks the listing of the others."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import tarfile

import pytest
from helpers import FIXTURES, read

FILES = ["run.json", "config.json", "info.json", "metrics.json"]
FILES += [f"evaluations/1/{name}.json" for name in ("run", "config", "info", "results")]
TEXTS = ["", "null", "[]", "3", "{", '{"a":' * 50_000, "[" * 100_000, "1" * 10_000, "\0", "NaN"]
VALUES = [None, True, -1, 1e308, 10**400, float("nan"), "", "\ud800\x1b[2J", [], [[]], {}]
VALUES += [{"py/object": "os.system"}, {"json://[1]": 1}, {"py/tuple": 3}]


def entries(value, place=()):
    """The places of all entries of a JSON value, three levels deep."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*place, key)
        if isinstance(item, (dict, list)) and len(place) < 2:
            yield from entries(item, (*place, key))


def damages(run):
    """Functions that damage a copy of a run, each in its own way."""
    for name in FILES:
        for text in TEXTS:
            yield lambda copy, name=name, text=text: (copy / name).write_text(text)
        yield lambda copy, name=name: (copy / name).write_bytes(b"\xff\xfe\x00")
        yield lambda copy, name=name: replaced(copy / name, lambda file: file.mkdir())
        yield lambda copy, name=name: replaced(copy / name, os.mkfifo)
        yield lambda copy, name=name: replaced(copy / name, lambda f: f.symlink_to("/dev/zero"))
        yield lambda copy, name=name: replaced(copy / name, lambda f: f.symlink_to(f.name))
        yield lambda copy, name=name: (copy / name).unlink()
        places = [p for p in entries(read(run / name)) if "dependencies" not in p]
        # Each place once, each value in turn: the rest was tried beforehand.
        for place, value in zip(places, itertools.cycle(VALUES)):
            yield lambda copy, name=name, p=place, v=value: put(copy / name, p, v)
    for name in ("lock", "checkpoints", "evaluations", "evaluations/1/per_example.csv"):
        yield lambda copy, name=name: replaced(copy / name, os.mkfifo)
        yield lambda copy, name=name: replaced(copy / name, lambda f: f.symlink_to("/nowhere"))


def replaced(path, make) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    make(path)


def put(file, place, value) -> None:
    content = read(file)
    *groups, last = place
    inner = content
    for key in groups:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A folder with two sound runs, and several hundred damaged copies of one."""
    folder = tmp_path_factory.mktemp("damaged")
    with tarfile.open(FIXTURES / "runs-0.1.0-to-0.3.0.tar.xz") as archive:
        names = [n for n in archive.getmembers() if n.name.startswith("0.3.0/model_data/")]
        archive.extractall(folder, names, filter="data")
    runs = folder / "0.3.0" / "model_data" / "MNISTModel"
    shutil.rmtree(runs / "2")
    shutil.rmtree(runs / "1" / "sources")
    run = runs.parent / "Sound" / "1"
    shutil.copytree(runs / "1", run)
    for limit in ("limit_train_batches", "limit_val_batches"):  # else it is a trial run
        put(run / "config.json", ("trainer_args", limit), 1.0)
    shutil.copytree(run, run.with_name("2"))
    put(run.with_name("2") / "config.json", ("seed",), 7)
    put(run.with_name("2") / "config.json", ("trainer_args", "max_epochs"), 9)
    for number, damage in enumerate(damages(run), start=1):
        copy = runs / str(number)
        shutil.copytree(run, copy, dirs_exist_ok=True)
        damage(copy)
    return folder / "0.3.0"


@pytest.fixture(scope="module")
def look(damaged, copy_project, forks):
    project = copy_project()

    def look(words: str) -> str:
        printed = forks.run(project, *words.split(), cwd=damaged)
        assert "Traceback" not in printed
        assert "\x1b" not in printed
        return printed

    return look


def test_the_others_are_listed(look):
    printed = look("evaluate runs")
    assert len(re.findall(r"^Sound/[12] +MNISTDataset +COMPLETED", printed, re.MULTILINE)) == 2
    assert len(re.findall("^UserError: .*MNISTModel/", printed, re.MULTILINE)) > 100
    assert look("evaluate runs with sort=test_accuracy").count("Sound/") == 2


def test_the_others_are_compared_and_nothing_of_them_is_cleaned(look):
    assert "Sound/2 - Sound/1" in look("evaluate compare with runs=[Sound/1,Sound/2]")
    assert re.search(r"^test_accuracy .*\d", look("evaluate compare with runs=all"), re.MULTILINE)
    doomed = re.findall(r"  (\S+/Sound/\S+)  ", look("evaluate clean"))
    assert all(path.endswith("checkpoints/last.ckpt") for path in doomed)
