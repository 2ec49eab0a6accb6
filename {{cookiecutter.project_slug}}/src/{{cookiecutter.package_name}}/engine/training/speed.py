"""What makes training as fast as the machine allows, and says where it is not."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import PassThroughProfiler

from .batches import LazyLoader
from .random_states import random_states, set_random_states
from .train_metrics import TrainMetrics

if sys.platform == "linux":
    import resource

WAITS = 1 / 3  # share of the time spent waiting for data that is worth a note
PROBES = 8  # batches that are read once more to see where they come from
PROBE_S = 0.5  # after which no further one is read
PROBE_BYTES = 4096  # fewer is what the look at it has read
IDLE_S = 0.002  # that make a wait, where the system does not count waits
LARGE = (32 << 20) - (1 << 16)  # bytes: just below glibc's DEFAULT_MMAP_THRESHOLD_MAX of 32 MiB


class NoProfiler(PassThroughProfiler):
    """Lightning's stand-in for no profiler, with one context manager for all calls.

    `Profiler.profile` makes a new one for each hook of each step (trainer/call.py, 2.6.6).
    """

    nothing: contextlib.nullcontext[None] = contextlib.nullcontext()

    def profile(self, action_name: str) -> contextlib.nullcontext[None]:  # type: ignore[override]  # for a `with`, too
        return self.nothing


class Compile(Callback):
    """Compiles the model's `forward` with `torch.compile`, in each process on its own."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # As torch's documentation has it.
        pl_module.forward = torch.compile(pl_module.forward)  # type: ignore[method-assign]


class SpeedReport(Callback):
    """Says how fast the training was, and how long it waited for its data.

    Args:
        means: counts the examples.

    Attributes:
        report: the same for the record; empty until the training has ended.
    """

    def __init__(self, means: TrainMetrics):
        self.means = means
        self.report: dict[str, float] = {}
        self.seconds = 0.0  # of training, without validation, in this process

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # glibc (malloc, mmap_threshold) returns the memory of a large tensor to the system and asks
        # for it again a step later, which takes longer than to compute with it. Freeing a larger
        # block once raises the threshold above which it does so.
        torch.empty(LARGE, dtype=torch.uint8)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # As in on_train_epoch_start, which Lightning leaves out of an epoch that is resumed.
        self.since = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pause(trainer)

    def _pause(self, trainer: Trainer) -> None:
        if not trainer.sanity_checking:
            now = time.perf_counter()
            self.seconds, self.since = self.seconds + now - self.since, now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        if not isinstance(loader, LazyLoader) or loader.batch_size is None:
            return  # how many examples there were is not known
        if not self.seconds or not trainer.is_global_zero:
            return
        processes = trainer.world_size
        waiting = loader.waited / self.seconds
        threads = torch.get_num_threads()
        self.report = {
            "examples_per_second": round(self.means.seen * processes / self.seconds, 1),
            "waiting_for_data": round(waiting, 3),
            "processes": processes,
            "threads": threads,
        }
        on = f"{processes} processes, {threads} " if processes > 1 else f"{threads} "
        on += "thread" if threads == 1 else "threads"
        on += " each" if processes > 1 else ""
        speed = self.report["examples_per_second"]
        print(f"speed  {speed:,.0f} examples/s on {on}, {waiting:.0%} of the time waiting for data")
        if waiting > WAITS and loader.waited > 1:
            print(f"       the data holds the training up: {_advice(loader)}", flush=True)


def _advice(loader: LazyLoader) -> str:
    """What to change. Worker processes only where they would read ahead of something that waits.

    What lies in memory is read faster than a worker can send it: 600,000 images took 7.6 s, with
    two workers 17 s.
    """
    dataset = type(loader.dataset).__name__
    at_once = f"a method __getitems__ of {dataset} reads a batch at once"
    if not _reads_ahead_of_disk(loader):
        if loader.num_workers:
            return "dataloader_args.num_workers=0: it is in memory, and to send it takes longer"
        if hasattr(loader.dataset, "__getitems__"):
            return f"a {dataset} that does less for an example, or a larger batch_size"
        return at_once
    if loader.num_workers:
        more = 2 * loader.num_workers
        return f"dataloader_args.num_workers={more}, or a dataset that does less for an example"
    ahead = "dataloader_args.num_workers=2 reads ahead"
    return ahead if hasattr(loader.dataset, "__getitems__") else f"{ahead}; {at_once}"


def _reads_ahead_of_disk(loader: LazyLoader) -> bool:
    """Whether reading a batch reads files or waits for something; else the data is in memory.

    Some batches are read once more, in this process; random states are left as they were.
    """
    states, read_before, waits = random_states(), _bytes_read(), []
    end = time.monotonic() + PROBE_S
    for indices in itertools.islice(loader.batch_sampler or (), PROBES):
        before = _waits()
        loader.read(indices)
        waits.append(_waits() - before)
        if time.monotonic() > end:
            break
    set_random_states(states)
    return min(waits, default=0) > 0 or _bytes_read() - read_before > PROBE_BYTES


def _waits() -> int:
    """How often this thread has waited for something; elsewhere than on Linux: for how long.

    Linux counts (`ru_nvcsw`, getrusage) what it gave the processor away for, such as a disk: a
    busy machine that takes the processor away does not count.
    """
    if sys.platform == "linux":
        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    else:
        return int((time.perf_counter() - time.thread_time()) / IDLE_S)


def _bytes_read() -> int:
    """What this process has read from files, also from the page cache; 0 where nobody counts."""
    with contextlib.suppress(OSError):
        fields = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
        return int(dict(line.split(": ") for line in fields)["rchar"])
    return 0
