"""One training in several processes: the numbers of one, one record, and nobody left over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess

import pytest
import torch
from helpers import eventually, finish, read, start_command, until

RUNNER = "<package>.runner"
TRAIN = [RUNNER, "train", "with", "dataset_args.source=sample"]
TWO = ["trainer_args.devices=2", "trainer_args.accelerator=cpu"]
ONE_EPOCH = ["trainer_args.max_epochs=1"]
FOR_EVER = ["trainer_args.max_epochs=100000"]


@pytest.fixture(scope="module")
def start(copy_project):
    """Starts commands as processes of one session: [(words, environment)], folder -> processes."""
    project, started = copy_project(), []
    runner, sources = f"{project.package.name}.runner", str(project.path / "src")

    def start(commands, cwd):
        cwd.mkdir(exist_ok=True)
        mine = [
            start_command(
                [project.python, "-m", *(runner if word == RUNNER else word for word in words)],
                cwd,
                PYTHONPATH=sources,
                **env,
            )
            for words, env in commands
        ]
        started.extend(mine)
        return mine

    yield start
    for process in started:  # of a test that has failed
        for pid in [process.pid, *below(process.pid)] if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)


def torchrun(*options):
    return ["torch.distributed.run", *options, "-m", *TRAIN]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def of_torchrun(words):
    return [([*torchrun("--standalone", "--nproc-per-node=2"), *words], {})]


def of_two_nodes(words):
    meet = f"--rdzv-endpoint=127.0.0.1:{free_port()}"
    options = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", meet]
    return [([*torchrun(*options), *words], {})] * 2


def of_slurm(words):
    job = {
        "SLURM_JOB_ID": str(free_port()),
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "MASTER_PORT": str(free_port()),
    }
    tasks = [job | {"SLURM_PROCID": number, "SLURM_NODEID": number} for number in "01"]
    return [([*TRAIN, *words], task) for task in tasks]


def of_lightning(strategy):
    return lambda words: [([*TRAIN, *TWO, f"trainer_args.strategy={strategy}", *words], {})]


WAYS = {
    "ddp": of_lightning("ddp"),
    "ddp_spawn": of_lightning("ddp_spawn"),
    "torchrun": of_torchrun,
    "two nodes": of_two_nodes,
    "slurm": of_slurm,
}


def the_run(folder):
    (run,) = (folder / "model_data" / "MNISTModel").iterdir()
    return run


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory):
    """One process with batches twice as large."""
    folder = tmp_path_factory.mktemp("alone")
    (process,) = start([([*TRAIN, *ONE_EPOCH, "dataloader_args.batch_size=64"], {})], folder)
    printed = finish(process)
    assert process.returncode == 0, printed
    return the_run(folder)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_as_one(start, alone, tmp_path, way):
    processes = start(WAYS[way](ONE_EPOCH), tmp_path)
    printed = "".join(map(finish, processes))
    assert [process.returncode for process in processes] == [0] * len(processes), printed
    for line in ("data ", "epoch 1/1", "speed ", "done   best val_loss", "run "):
        assert printed.count(line) == 1, printed
    assert "on 2 processes, 1 thread each" in printed
    run = the_run(tmp_path)
    record, expected = read(run / "run.json"), read(alone / "run.json")
    assert record["status"] == "COMPLETED"
    assert record["result"] == pytest.approx(expected["result"], rel=1e-4)
    assert len(list(run.glob("events.*"))) == 1
    one, two = (torch.load(r / "checkpoints/last.ckpt", weights_only=True) for r in (alone, run))
    assert one["global_step"] == two["global_step"]
    torch.testing.assert_close(one["state_dict"], two["state_dict"], rtol=1e-3, atol=1e-5)
    asked = read(run / "info.json")["trainer_args"]
    nodes = 2 if way in ("two nodes", "slurm") else 1
    assert (asked["devices"], asked["num_nodes"]) == (2 // nodes, nodes)


def below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    table = subprocess.run(
        ["ps", "-e", "-o", "pid=", "-o", "ppid="], capture_output=True, text=True
    ).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()]
    mine = [child for child, parent in pairs if parent == pid]
    return mine + [grandchild for child in mine for grandchild in below(child)]


def is_training(pid: int) -> bool:
    done = subprocess.run(
        ["ps", "-ww", "-o", "stat=", "-o", "args=", "-p", str(pid)], capture_output=True
    )
    state, _, command = done.stdout.decode().strip().partition(" ")
    trains = ".runner" in command or "spawn_main" in command
    return trains and "torch.distributed.run" not in command and not state.startswith("Z")


@pytest.mark.parametrize("victim", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("way", ["ddp", "ddp_spawn", "torchrun"])
def test_a_killed_process_ends_the_run(start, tmp_path, way, victim):
    (process,) = start(WAYS[way](FOR_EVER), tmp_path)
    until(process, "epoch 1/")
    family = [pid for pid in [process.pid, *below(process.pid)] if is_training(pid)]
    assert len(family) >= 2
    subprocess.run(["kill", "-KILL", str(family[victim])], check=True)
    eventually(lambda: not any(map(is_training, family)), "somebody is left over")
    finish(process)
    assert process.returncode
    record = read(the_run(tmp_path) / "run.json")
    assert (record["status"], record["attempts"][-1]["status"]) == ("FAILED", "FAILED")
    assert record["attempts"][-1]["why"].startswith("UserError: ")


def starting(start, tmp_path) -> tuple[subprocess.Popen, list[int]]:
    """Two processes that are about to find each other: the first, and the ids of both."""
    (process,) = start(WAYS["ddp"](FOR_EVER), tmp_path)
    until(process, "model ")
    eventually(lambda: any(map(is_training, below(process.pid))), "no second process")
    return process, [process.pid, *below(process.pid)]


def test_ctrl_c_while_processes_start(start, tmp_path):
    process, family = starting(start, tmp_path)
    for pid in family:  # as a terminal does
        os.kill(pid, signal.SIGINT)
    assert "Interrupted: train was stopped" in finish(process)
    assert process.returncode == 1
    assert read(the_run(tmp_path) / "run.json")["status"] == "INTERRUPTED"


def test_a_process_whose_first_one_dies_at_once_ends(start, tmp_path):
    process, family = starting(start, tmp_path)
    process.kill()
    eventually(lambda: not any(map(is_training, family)), "somebody is left over")
    finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_spawned_processes_save_and_stop(start, tmp_path, number):
    (process,) = start(WAYS["ddp_spawn"](FOR_EVER), tmp_path)
    until(process, "epoch 1/")
    process.send_signal(number)
    printed = finish(process)
    assert process.returncode == 1
    assert "Interrupted: train was stopped at step" in printed
    assert "Traceback" not in printed
    run = the_run(tmp_path)
    assert read(run / "run.json")["status"] == "INTERRUPTED"
    step = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert f"at step {step}" in printed
