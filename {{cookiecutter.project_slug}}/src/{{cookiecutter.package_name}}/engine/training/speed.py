"""What makes a training as fast as its machine allows, and tells when it is not."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import PassThroughProfiler
from torch.utils.data import DataLoader

from .train_metrics import TrainMetrics

WAITS = 1 / 3  # share of the time from which on the data is worth a note
LARGE = (32 << 20) - (1 << 16)  # bytes; glibc learns nothing from 32 MiB and more


class NoProfiler(PassThroughProfiler):
    """Lightning's stand-in for no profiler, without a new context manager for each of its calls."""

    nothing = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:  # Lightning uses it in a `with` only
        return self.nothing


class Compile(Callback):
    """Compiles the model's `forward` (`torch.compile`), in each process by itself."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        compiled = torch.compile(pl_module.forward)
        pl_module.forward = compiled  # type: ignore[method-assign]  # as torch's documentation has it


class SpeedReport(Callback):
    """Says how fast the training was, and how long it waited for its data.

    Args:
        means: counts the examples.

    Attributes:
        report: the same for the record; empty before the end of the training.
    """

    def __init__(self, means: TrainMetrics):
        self.means = means
        self.report: dict[str, int | float] = {}
        self.seconds = 0.0  # of training, without validation, in this process

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # glibc returns the memory of a large tensor to the system, and asks for it again a step
        # later, which takes longer than to compute with it - unless it has seen a larger one go.
        torch.empty(LARGE, dtype=torch.uint8)

    def on_train_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:  # a resumed epoch may begin with a validation
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
        if not self.seconds or not trainer.is_global_zero:
            return
        loader: Any = trainer.train_dataloader  # a LazyLoader
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


def _advice(loader: DataLoader[Any]) -> str:
    if loader.num_workers:
        more = 2 * loader.num_workers
        return f"dataloader_args.num_workers={more}, or a dataset that does less for an example"
    ahead = "dataloader_args.num_workers=2 reads ahead"
    if hasattr(loader.dataset, "__getitems__"):
        return ahead
    dataset = type(loader.dataset).__name__
    return f"{ahead}; a method __getitems__ of {dataset} reads a batch at once"
