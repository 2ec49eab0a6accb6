"""One training in several processes: the numbers of one, one record, and nobody left over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import DEFAULT, environment, read

RUNNER = "<package>.runner"
TRAIN = [RUNNER, "train", "with", "dataset_args.source=sample"]
TWO = ["trainer_args.devices=2", "trainer_args.accelerator=cpu"]
ONE_EPOCH = ["trainer_args.max_epochs=1"]
FOR_EVER = ["trainer_args.max_epochs=100000"]


@pytest.fixture(scope="module")
def start(installed):
    """Starts commands as processes of one session: [(words, environment)], folder -> processes."""
    project = installed(DEFAULT)
    runner, started = f"{project.package.name}.runner", []

    def start(commands, cwd):
        cwd.mkdir(exist_ok=True)
        mine = [
            subprocess.Popen(
                [project.python, "-m", *(runner if word == RUNNER else word for word in words)],
                cwd=cwd,
                env=environment(**env),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
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
    assert process.wait(60) == 0, process.stdout.read()
    return the_run(folder)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_as_one(start, alone, tmp_path, way):
    processes = start(WAYS[way](ONE_EPOCH), tmp_path)
    printed = "".join(process.communicate(timeout=100)[0] for process in processes)
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
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    family = [pid for pid in [process.pid, *below(process.pid)] if is_training(pid)]
    assert len(family) >= 2
    subprocess.run(["kill", "-KILL", str(family[victim])], check=True)
    killed = time.monotonic()
    while any(map(is_training, family)):
        assert time.monotonic() - killed < 30, "somebody is left over"
        time.sleep(0.1)
    process.communicate(timeout=60)
    assert process.returncode
    record = read(the_run(tmp_path) / "run.json")
    assert (record["status"], record["attempts"][-1]["status"]) == ("FAILED", "FAILED")
    assert record["attempts"][-1]["why"].startswith("UserError: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_spawned_processes_save_and_stop(start, tmp_path, number):
    (process,) = start(WAYS["ddp_spawn"](FOR_EVER), tmp_path)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(number)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "Interrupted: train was stopped at step" in printed
    assert "Traceback" not in printed
    run = the_run(tmp_path)
    assert read(run / "run.json")["status"] == "INTERRUPTED"
    step = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert f"at step {step}" in printed


# -- Who reads what -------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 5, 6, 60, 61, 62, 64, 97])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_example_is_read_once_by_somebody(tree, world, size, batch, shuffle):
    def batches(*place, drop_last=False):
        found = tree("engine.training.loaders").Batches(size, batch, shuffle, drop_last, 7, *place)
        found.set_epoch(3)
        read = list(found)
        assert len(found) == len(read)
        return read

    ranks = [batches(rank, world) for rank in range(world)]
    counts = {len(rank) for rank in ranks}
    assert len(counts) == 1  # else the others wait for ever
    if size < world:
        assert counts == {0}
        return
    assert sorted(i for rank in ranks for some in rank for i in some) == list(range(size))
    assert all(some for rank in ranks for some in rank)
    alone = tree("engine.training.loaders").Batches(size, batch * world, shuffle, False, 7)
    alone.set_epoch(3)
    for number, whole in enumerate(list(alone)[: size // (batch * world)]):
        together = {i for rank in ranks for i in rank[number]}
        assert together >= set(whole)
        assert len(together - set(whole)) < world  # those that would leave somebody without
    for rank in range(world):
        full = batches(rank, world, drop_last=True)
        assert [len(some) for some in full] == [batch] * (size // (batch * world))


def test_an_epoch_has_its_own_order_and_goes_on_within(tree):
    batches = tree("engine.training.loaders").Batches(50, 4, True, False, 1)
    first = list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert first != second
    batches.start = 5
    assert list(batches) == second[5:]
    assert list(batches) == second


def test_fewer_examples_than_processes_are_refused(tree):
    data = tree("engine.training.loaders")
    examples = torch.utils.data.TensorDataset(torch.zeros(2))
    examples.collate_fn = lambda: None
    module = data.DataModule(examples, examples, {"batch_size": 4}, 1)
    cpu = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(global_rank=0, world_size=3, strategy=cpu)
    for loader in (module.train_dataloader, module.val_dataloader):
        with pytest.raises(Exception, match="no batch for each of 3 processes"):
            loader()
