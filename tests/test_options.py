"""sacred's own options: each works, or is refused in one line that says what to do."""

from __future__ import annotations

import socket
import sqlite3

import pytest
from helpers import DEBUG


@pytest.fixture(scope="module")
def project(copy_project):
    return copy_project()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


REFUSED = {
    "-S s3://bucket/runs": "option --s3: runs are not stored in S3",
    "-s nonsense": "option --sql: 'nonsense' is no address",
    "-t runs.db": "option --tiny_db needs tinydb: pip install tinydb hashfs tinydb-serialization",
    "-m x": "option --mongo_db needs pymongo: pip install pymongo",
    "-C nonsense": "option --capture: 'nonsense' is unknown: there are: fd, no, sys",
    "-l INFOS": "option --loglevel: 'INFOS' is unknown: did you mean 'INFO'?",
    "-b abc": "option: could not convert string to float: 'abc'",
    "-i last": "a run cannot be called 'last': `run=last` means something else",
    "-i 2024_01": "a run cannot be called '2024_01'",
    "-i 1e3": "a run cannot be called '1e3'",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_value_that_cannot_work_is_refused(project, tmp_path, words):
    done = project.module("train", *words.split(), *DEBUG, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"UserError: {REFUSED[words]}")
    assert done.stdout.count("\n") == 1
    assert not list(tmp_path.glob("model_data/*/*/run.json"))


def test_a_database_that_does_not_answer_is_told_at_once(tree, monkeypatch):
    options = tree("engine.config.options")
    monkeypatch.setattr(options, "OBSERVERS", {})
    none = dict.fromkeys(["--s3", "--capture", "--sql", "--tiny_db"]) | {"--loglevel": "30"}
    port = free_port()
    for server in (f"127.0.0.1:{port}:runs", f"127.0.0.1:{port}"):
        with pytest.raises(Exception, match=f"127.0.0.1:{port} does not answer"):
            options.check_options(none | {"--mongo_db": server})
    with pytest.raises(Exception, match="is not host:port:database"):
        options.check_options(none | {"--mongo_db": "a:b:c:d"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}:runs"
        options.check_options(none | {"--mongo_db": address})


def test_a_database_gets_the_best_score_beside_the_folder(project, tmp_path):
    done = project.module("train", "-s", "sqlite:///runs.db", *DEBUG, cwd=tmp_path)
    assert "Traceback" not in done.stdout
    with sqlite3.connect(tmp_path / "runs.db") as database:
        ((status, result),) = database.execute("SELECT status, result FROM run").fetchall()
    assert status == "COMPLETED"
    assert f"done   best val_loss {result:.4f}" in done.stdout
    assert (tmp_path / "model_data" / "MNISTModel" / "1" / "run.json").exists()
