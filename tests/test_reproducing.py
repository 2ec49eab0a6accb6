"""`train reproduce`: a stored run is trained again, and what differs is named."""

from __future__ import annotations

import json

from helpers import read
from shaky import SHAKY, TRAIN


def test_a_run_is_reproduced_or_what_differs_is_named(fork, shaky, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    reproduce = ["train", "reproduce", "with", "run=Shaky/1"]
    assert fork(tmp_path, reproduce) == 0
    assert (
        "identical: weights and metrics are those of Shaky/1" in (tmp_path / "log.txt").read_text()
    )

    record = tmp_path / "model_data" / "Shaky" / "1" / "run.json"
    content = read(record)
    versions = content["experiment"]["dependencies"]
    versions[:] = ["torch==1.0" if word.startswith("torch==") else word for word in versions]
    record.write_text(json.dumps(content))
    info = record.with_name("info.json")
    content = read(info)
    content["machine"]["threads"] = 99
    info.write_text(json.dumps(content))
    model = shaky.package / "models" / "shaky.py"
    model.write_text(SHAKY.replace("Dropout(0.5)", "Dropout(0.4)"))
    try:
        done = shaky.module(*reproduce, cwd=tmp_path, check=False)
    finally:
        model.write_text(SHAKY)
    assert done.returncode == 1, done.stdout
    for said in (
        "different from Shaky/1",
        "weights: layers.0.weight differs by up to",
        "metrics: train_loss is",
        f"sources: {shaky.package.name}/models/shaky.py has changed",
        "versions: torch was torch==1.0",
        "machine: threads was 99, is 1",
    ):
        assert said in done.stdout
    assert fork(tmp_path, ["train", "reproduce"]) == 1
    assert fork(tmp_path, [*reproduce, "seed=3"]) == 1
    printed = (tmp_path / "log.txt").read_text()
    assert "reproduce what?" in printed
    assert "seed: a run is reproduced with its own configuration" in printed
