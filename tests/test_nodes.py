"""Several machines where nothing tells them of each other: refused, since each would wait."""

from __future__ import annotations

import os

import pytest
from pytorch_lightning import Trainer

NODES = ["trainer_args.num_nodes=2", "trainer_args.accelerator=cpu"]
LAUNCHED = {
    "by hand": {"MASTER_ADDR": "10.0.0.1", "NODE_RANK": "1"},
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "1",
        "LOCAL_WORLD_SIZE": "1",
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "GROUP_RANK": "0",
    },
    "slurm": {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "a,b",
    },
    "lsf": {
        "LSB_JOBID": "1",
        "LSB_DJOB_RANKFILE": "ranks",
        "JSM_NAMESPACE_LOCAL_RANK": "0",
        "JSM_NAMESPACE_SIZE": "2",
        "JSM_NAMESPACE_RANK": "0",
    },
    "kubeflow": {"MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "0"},
}
NAMES = sorted({name for env in LAUNCHED.values() for name in env})


@pytest.fixture
def check(tree, monkeypatch, tmp_path):
    # Lightning's LSFEnvironment sets variables itself, for good.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ranks").write_text("a\na\nb\n")
    monkeypatch.setattr("socket.gethostname", lambda: "a")

    def check(**trainer_args):
        tree("engine.training.preflight")._check_nodes(Trainer(accelerator="cpu", **trainer_args))

    return check


@pytest.mark.parametrize("command", ["train", "resumed"])
def test_nodes_that_know_nothing_of_each_other_are_refused(stamped, forks, tmp_path, command):
    from helpers import DEBUG, DEFAULT

    words = ["train", *DEBUG]
    if command == "resumed":
        assert forks(stamped[DEFAULT], tmp_path, words) == 0
        words = ["train", "with", "resume=last", "trainer_args.max_epochs=2"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model_data/**/*")}
    assert forks(stamped[DEFAULT], tmp_path, [*words, *NODES]) == 1
    last = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert last.startswith("UserError: trainer_args.num_nodes=2: nothing says where")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model_data/**/*")} == before


@pytest.mark.parametrize("strategy", ["auto", "ddp", "ddp_spawn"])
def test_whatever_the_strategy(check, tree, strategy):
    check(num_nodes=1, strategy=strategy)
    with pytest.raises(tree("engine.errors").UserError, match="num_nodes=2"):
        check(num_nodes=2, strategy=strategy)


@pytest.mark.parametrize("way", LAUNCHED)
def test_nodes_that_were_launched_are_not_refused(check, monkeypatch, way):
    for name, value in LAUNCHED[way].items():
        monkeypatch.setenv(name, value)
    check(num_nodes=2, devices=1, strategy="ddp")


def test_an_interactive_job_of_slurm_has_launched_nothing(check, tree, monkeypatch):
    for name, value in (LAUNCHED["slurm"] | {"SLURM_JOB_NAME": "bash"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(tree("engine.errors").UserError, match="num_nodes=2"):
        check(num_nodes=2, devices=1, strategy="ddp")
