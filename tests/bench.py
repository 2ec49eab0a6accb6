"""Measures what the README's table of speed says: `make bench`, or `make bench DATA=<folder>`.

Two things that are compared run in turn, so that a busy neighbour slows down both; what counts is
the median of the ratios of neighbouring runs. Epochs are timed from outside, by the lines that the
programs print, from the end of the first epoch to the end of the last: logger, checkpoints and
metrics are on, and the progress bar has a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pty
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path

from bench_records import ROWS, Records
from cookiecutter.main import cookiecutter
from helpers import SIDECARS, TEMPLATE, Project, environment, install

RAW = """
import sys, torch
from torch import nn
import torch.nn.functional as F
from {package}.datasets.mnist_dataset import MNISTDataset
from {package}.models.cnn import CNN

net, batch, epochs, source, folder, device = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(1)
torch.empty((32 << 20) - (1 << 16), dtype=torch.uint8)  # as engine/training/speed.py does it
data = MNISTDataset("train", folder, source)
images, targets = data.images[data.indices], data.targets[data.indices].long()
if net == "cnn":
    model = CNN((1, 28, 28), 10).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
else:
    layers = [nn.Flatten(), nn.Linear(784, 784), nn.ReLU(), nn.Linear(784, 10)]
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
model.train()
for epoch in range(int(epochs)):
    total = torch.zeros((), device=device)
    for indices in torch.randperm(len(images)).split(int(batch)):
        inputs, classes = images[indices].to(torch.float32).div_(255), targets[indices]
        if device == "cuda":
            both = [x.pin_memory() for x in (inputs, classes)]
            inputs, classes = (x.to(device, non_blocking=True) for x in both)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), classes)
        loss.backward()
        optimizer.step()
        total += loss.detach()
    print(f"epoch {{epoch + 1}}/{{epochs}}", total.item(), flush=True)
"""
# As the project imports it: without what setuptools 82 and Python 3.14 no longer have.
IMPORT_SACRED = """
import importlib.util, pathlib, pkgutil, sys, types
class WorkingSet(list):
    by_key = {}
def resource_filename(package, name):
    return str(pathlib.Path(importlib.util.find_spec(package).origin).parent / name)
stand_in = types.ModuleType("pkg_resources")
stand_in.working_set, stand_in.resource_filename = WorkingSet(), resource_filename
sys.modules["pkg_resources"] = stand_in
pkgutil.find_loader = importlib.util.find_spec
import sacred
"""
PLUG_INS = """
import os

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

from .mnist_classifier import MNISTModel


class FirstStep(MNISTModel):
    def optimizer_step(self, *args):
        super().optimizer_step(*args)
        os._exit(0)


class Narrow(pl.LightningModule):
    def __init__(self, num_classes: int, learning_rate: float = 1e-3):
        super().__init__()
        self.save_hyperparameters()
        sizes, layers = [784, 64, 128, 64], [nn.Flatten()]
        for before, after in zip(sizes, sizes[1:]):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(64, num_classes))

    def training_step(self, batch, batch_idx):
        images, targets = batch
        return F.cross_entropy(self.layers(images), targets)

    def validation_step(self, batch, batch_idx):
        images, targets = batch
        self.log("val_loss", F.cross_entropy(self.layers(images), targets), batch_size=len(targets))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate, fused=True)
"""


class Bench:
    """The default project, installed, and how long its commands take.

    Args:
        project: with the convolutional network and the models above as further plug-ins.
        folder: to work in.
        data: folder of the official MNIST files, or None for the bundled sample.
        rounds: pairs to measure.
    """

    def __init__(self, project: Project, folder: Path, data: Path | None, rounds: int):
        self.project, self.folder, self.rounds = project, folder, rounds
        self.source = ["full", str(data)] if data else ["sample", "data"]
        names = ("dataset_args.source", "dataset_args.data_dir")
        self.words = [f"{name}={value}" for name, value in zip(names, self.source)]
        self.on_cpu = "trainer_args.accelerator=cpu"  # also where there is a GPU
        self.rows = []

    def command(self, *words: str) -> list[str]:
        name, *rest = words
        return [str(self.project.python.with_name(name)), *rest]

    def run(self, command: list[str]) -> tuple[float, int]:
        """Wall time in seconds and peak memory in bytes of a command, whatever its exit status."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        *_, used = os.wait4(process.pid, 0)
        return time.perf_counter() - began, used.ru_maxrss * 1024

    def epochs(self, command: list[str]) -> float:
        """Seconds per epoch of a command, in a terminal, without what is before the second one."""
        child, terminal = pty.fork()
        if not child:
            os.chdir(self.folder)
            os.execve(command[0], command, environment())
        printed, ends = b"", []
        while True:
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # Linux's way to say that nobody writes any more
                piece = b""
            if not piece:
                break
            printed += piece
            found = len(re.findall(rb"epoch \d+/\d+ ", printed))
            ends += [time.perf_counter()] * (found - len(ends))
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert (status, len(ends) > 1) == (0, True), printed.decode()
        return (ends[-1] - ends[0]) / (len(ends) - 1)

    def pairs(self, name: str, one: Callable, other: Callable, target: str, unit: str = "s"):
        """Measures two things in turn, and adds a row with the median of `one / other`."""
        both = [(one(), other()) for _ in range(self.rounds)]
        ratios = sorted(a / b for a, b in both)
        first, second = (statistics.median(values) for values in zip(*both))
        shown = f"{first:.3g} {unit} against {second:.3g} {unit}"
        self.row(name, statistics.median(ratios), ratios[0], ratios[-1], target, shown)

    def row(self, name, value, low, high, target, shown):
        row = {"what": name, "median": value, "lowest": low, "highest": high}
        self.rows.append(row | {"target": target, "measured": shown})
        print(
            f"| {name} | {value:.2f} | {low:.2f} to {high:.2f} | {target} | {shown} |", flush=True
        )

    def throughput(self):
        for name, net, batch, epochs, words, target in (
            ("perceptron, batch 32", "perceptron", 32, 4, [], ">= 0.80"),
            ("perceptron, batch 256", "perceptron", 256, 6, [], ">= 0.90"),
            ("CNN, batch 128", "cnn", 128, 3, ["model_name=CNN"], ">= 0.95"),
        ):
            self.against_raw(name, net, batch, epochs, [*words, self.on_cpu], "cpu", target)

    def gpu(self):
        # In a process of its own: what this one has imported counts as its children's memory.
        look = "import sys, torch; sys.exit(not torch.cuda.is_available())"
        if subprocess.run(self.command("python", "-c", look)).returncode:
            print("| training throughput / raw loop on the GPU: skipped, there is none | | | | |")
            return
        words = ["model_name=CNN", "trainer_args.accelerator=gpu"]
        for batch, epochs in ((128, 6), (1024, 12)):
            name = f"CNN, batch {batch}, on the GPU"
            self.against_raw(name, "cnn", batch, epochs, words, "cuda", "no target")

    def against_raw(self, name, net, batch, epochs, words, device, target):
        """Adds a row: epochs a second of `train` over those of the loop that does no more."""
        if self.source[0] == "sample":
            epochs *= 5  # which are short
        raw = RAW.format(package=self.project.package.name)
        ours = self.command("train", "with", *self.words, *words)
        ours += ["trainer_args.limit_val_batches=0", f"trainer_args.max_epochs={epochs}"]
        ours += [f"dataloader_args.batch_size={batch}"]
        words = [net, str(batch), str(epochs), *self.source, device]
        theirs = self.command("python", "-c", raw, *words)
        self.pairs(
            f"training throughput / raw loop, {name}",
            lambda: 1 / self.epochs(ours),
            lambda: 1 / self.epochs(theirs),
            target,
            "epochs/s",
        )

    def whole(self):
        words = [
            "model_name=Narrow",
            "dataloader_args.batch_size=128",
            "trainer_args.max_epochs=10",
            self.on_cpu,
        ]
        command = self.command("train", "with", *self.words, *words)
        times = sorted(self.run(command)[0] for _ in range(self.rounds))
        name = "`train`, 784-64-128-64-10, batch 128, 10 epochs, end to end, seconds"
        shown = f"MNIST, {self.source[0]}"
        self.row(name, statistics.median(times), times[0], times[-1], "<= 16", shown)

    def beginning(self):
        imports = self.command("python", "-c", IMPORT_SACRED)
        for words in (["help"], ["print_config"], ["with", "model_args.learning_rat=1"]):
            self.pairs(
                f"`train {' '.join(words)}` / `import sacred`",
                lambda words=words: self.run(self.command("train", *words))[0],
                lambda: self.run(imports)[0],
                "<= 1.3",
            )
        tab = self.command("train", "_complete", "fish", "with", "model_args.")
        times = sorted(self.run(tab)[0] for _ in range(self.rounds))
        name = "TAB after `train with model_args.`, seconds"
        self.row(name, statistics.median(times), times[0], times[-1], "<= 0.5", "no torch")
        # Both end where they are, without tidying up.
        imports = "import os, torch, pytorch_lightning; os._exit(0)"
        imports = self.command("python", "-c", imports)
        first = self.command("train", "with", "model_name=FirstStep", *self.words, self.on_cpu)
        self.pairs(
            "first optimizer step / `import torch, pytorch_lightning`",
            lambda: self.run(first)[0],
            lambda: self.run(imports)[0],
            "<= 1.15",
        )

    def memory(self):
        imports = self.command("python", "-c", "import torch, pytorch_lightning")
        words = [*self.words, self.on_cpu, "trainer_args.max_epochs=1"]
        train = self.command("train", "with", *words)
        over = sorted((self.run(train)[1] - self.run(imports)[1]) / 1e6 for _ in range(self.rounds))
        data = (60_000 if self.source[0] == "full" else 5_000) * 785 / 1e6
        name = "peak memory over that import, MB"
        target, shown = f"<= {data + 150:.0f}", f"the data as uint8: {data:.0f} MB"
        self.row(name, statistics.median(over), over[0], over[-1], target, shown)

    def stamping(self):
        twice = _with_twice_the_starters(self.folder / "twice")
        stamped = iter(range(10_000))

        def stamp(template):
            began = time.perf_counter()
            stamp_into(self.folder / "stamped" / str(next(stamped)), template)
            return time.perf_counter() - began

        times = sorted(stamp(TEMPLATE) for _ in range(self.rounds))
        shown = "cookiecutter already imported"
        self.row(
            "stamping, seconds", statistics.median(times), times[0], times[-1], "<= 0.3", shown
        )
        self.pairs(
            "stamping from twice the starters / from these",
            lambda: stamp(twice),
            lambda: stamp(TEMPLATE),
            "<= 1.1",
        )


def stamp_into(folder: Path, template: Path = TEMPLATE) -> Path:
    """Stamps the default project, without the words of its hook."""
    sys.stderr.flush()
    terminal, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        return Path(cookiecutter(str(template), no_input=True, output_dir=str(folder)))
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nothing)


def _with_twice_the_starters(folder: Path) -> Path:
    """The template with a copy of each starter, under another name, that nobody chooses."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns(".*", "demo", "results"))
    options = json.loads((folder / "cookiecutter.json").read_text())
    package = folder / "{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}"
    for kind in ("dataset", "model", "evaluator"):
        for name in SIDECARS[kind]:
            sidecar = package.parents[1] / "starters" / kind / f"{name}.py"
            source = sidecar.read_text()
            for file in SIDECARS[kind][name]["files"]:
                path = package / file
                copy = path.with_name(f"more_{path.name}")
                shutil.copytree(path, copy) if path.is_dir() else shutil.copyfile(path, copy)
                source = source.replace(f'"{file}"', f'"{file.replace(path.name, copy.name)}"')
            sidecar.with_name(f"more_{name}.py").write_text(source)
            options[kind].append(f"more_{name}")
    for name, models in list(options["_starters"].items()):
        options["_starters"][f"more_{name}"] = {
            f"more_{model}": [f"more_{evaluator}" for evaluator in evaluators]
            for model, evaluators in models.items()
        }
    (folder / "cookiecutter.json").write_text(json.dumps(options))
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the four official MNIST files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of the measurements, by name")
    parser.add_argument("--gigabytes", type=float, default=1, help="of weights saved and evaluated")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["COOKIECUTTER_CONFIG"] = str(folder / "config.yaml")
        (folder / "config.yaml").write_text(f"replay_dir: {folder}/replay\n")
        project = install(stamp_into(folder), folder / "env")
        models = project.package / "models"
        source = "src/{{cookiecutter.package_name}}/models/cnn.py"
        shutil.copy(TEMPLATE / "{{cookiecutter.project_slug}}" / source, models)
        (models / "plug_ins.py").write_text(PLUG_INS)
        bench = Bench(project, folder, asked.data and asked.data.resolve(), asked.rounds)
        print(f"| what | median of {asked.rounds} | spread | target | measured |")
        print("|---|---|---|---|---|")
        for name in ("throughput", "gpu", "whole", "beginning", "memory", "stamping"):
            if asked.only in (None, name):
                getattr(bench, name)()
        records = Records(bench, int(asked.gigabytes * 1e9))
        for name in ROWS:
            if asked.only in (None, name):
                getattr(records, name)()
    versions = {name: metadata.version(name) for name in ("torch", "pytorch-lightning", "sacred")}
    about = {
        "date": date.today().isoformat(),
        "data": f"MNIST, {bench.source[0]}",
        "machine": f"{os.cpu_count()} x {platform.machine()}, one thread",
        "python": platform.python_version(),
        **versions,
    }
    asked.json.write_text(json.dumps(about | {"rows": bench.rows}, indent=2) + "\n")
    print(f"\n{', '.join(f'{key} {value}' for key, value in about.items())}")
    print(f"written to {asked.json}")


if __name__ == "__main__":
    sys.exit(main())
