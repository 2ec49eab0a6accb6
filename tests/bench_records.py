"""The rows of `make bench` on what records cost: checkpoints, epochs, tables of many runs.

CPU time of whole processes and their threads, which a busy neighbour hardly changes. What is
compared runs in turn, and its own start (imports, say) is taken off both.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

from helpers import environment

TESTS = Path(__file__).resolve().parent
MODELS = """
import pytorch_lightning as pl
import torch
from torch import nn


class Tiny(pl.LightningModule):
    def __init__(self, size: int = 10):
        super().__init__()
        self.save_hyperparameters()
        self.weights = nn.ParameterList([torch.ones(size // 10) for _ in range(10)])

    def training_step(self, batch, batch_idx):
        return sum(weight.sum() for weight in self.weights) * batch.mean()

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", batch.mean() - self.current_epoch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Talks(Tiny):
    def __init__(self, size: int = 10, lines: int = 0):
        super().__init__(size)
        self.save_hyperparameters()

    def on_fit_start(self):
        for line in range(self.hparams.lines):
            print(f"what a run prints, line {line}")


class Rising(Tiny):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", batch.mean() + self.current_epoch)
"""
DATA = """
import torch

from . import SplitDataset


class Four(SplitDataset):
    def __init__(self, split: str):
        pass

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.full((1,), float(index))


class InMemory(SplitDataset):
    input_shape, num_classes = (1, 28, 28), 10

    def __init__(self, split: str, size: int = 600_000):
        size = size if split == "train" else 10
        self.images = torch.zeros(size, 1, 28, 28, dtype=torch.uint8)

    def __len__(self):
        return len(self.images)

    def __getitems__(self, indices):
        images = self.images[indices].float()
        return images, torch.zeros(len(images), dtype=torch.long)
"""
NOTHING = """
from . import Evaluator


class Nothing(Evaluator):
    def evaluate(self, model, dataset):
        return {"weights": float(len(model.weights))}
"""
MARKS = """
import time

from pytorch_lightning import Callback


class Marks(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        print("cpu", trainer.current_epoch, time.process_time(), flush=True)
"""
# The same model, logger and a checkpoint each epoch, as Lightning does it by itself.
PLAIN = """
import logging, sys, time, warnings
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from {package}.callbacks.marks import Marks
from {package}.datasets.four import Four
from {package}.models.tiny import Tiny

class Logged(Tiny):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
loaders = [torch.utils.data.DataLoader(Four(split), 2) for split in ("train", "val")]
callbacks = [ModelCheckpoint(), LearningRateMonitor("epoch"), Marks()]
trainer = pl.Trainer(
    max_epochs=int(sys.argv[1]), callbacks=callbacks, logger=TensorBoardLogger("plain"),
    accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(Logged(), *loaders)
"""
# What one save costs: seconds of CPU, and memory beyond what the weights take.
SAVE = """
import os, resource, sys, time
from pathlib import Path
import torch
sys.path.insert(0, {tests!r})
from helpers import tree_module
checkpoint_file = tree_module("engine.runs.checkpoint_file")
is_finite = tree_module("engine.training.finite").is_finite
how, size = sys.argv[1], int(sys.argv[2])
weights = {{f"w{{i}}": torch.ones(size // 40) for i in range(10)}}
io = checkpoint_file.AtomicCheckpointIO()
path, second = Path("it.ckpt"), Path("second.ckpt")
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
if how == "torch":
    with path.open("wb") as file:
        torch.save({{"state_dict": weights}}, file)
        file.flush()
        os.fsync(file.fileno())
else:
    assert all(map(is_finite, weights.values()))
    io.save_checkpoint({{"state_dict": weights}}, path)
    if how == "twice":
        checkpoint_file.name_as_well(path, second)
passed = time.process_time() - began
print(passed, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / size)
path.unlink()
second.unlink(missing_ok=True)
"""
READ = """
import json, os, sys
for folder in os.scandir("model_data/Tiny"):
    for name in ("run.json", "config.json", "info.json", "metrics.json"):
        with open(os.path.join(folder.path, name)) as file:
            json.load(file)
"""


RUNS = 10_000  # of the table
ROWS = ("saving", "epochs", "evaluating", "table", "comparing")
ROWS += ("changed_file", "output", "workers", "typos")


class Records:
    """Rows of a `Bench`, of whose project the models above become a part.

    Args:
        bench: the project, the folder to work in, and the table.
        size: bytes of the weights that are saved and evaluated.
    """

    def __init__(self, bench, size: int):
        self.bench, self.size = bench, size
        self.folder = bench.folder / "records"
        self.folder.mkdir()
        self.name = bench.project.package.name
        for name, code in {
            "models/tiny.py": MODELS,
            "datasets/four.py": DATA,
            "evaluators/nothing.py": NOTHING,
            "callbacks/marks.py": MARKS,
        }.items():
            (bench.project.package / name).write_text(code)

    def run(self, *words: str, status: int = 0) -> tuple[float, int, str]:
        """CPU seconds, peak memory in bytes and output of a command."""
        log = self.folder / "log.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.bench.command(*words),
                cwd=self.folder,
                env=environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            _, ended, used = os.wait4(process.pid, 0)
        text = log.read_text()
        assert os.waitstatus_to_exitcode(ended) == status, text
        return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, text

    def train(self, *words: str) -> tuple[float, int, str]:
        words = [
            "dataloader_args.batch_size=2",
            "trainer_args.enable_progress_bar=False",
            *words,
        ]
        words += ["dataset_name=Four"] if "dataset_name=" not in " ".join(words) else []
        return self.run("train", "with", "trainer_args.accelerator=cpu", *words)

    def ratio(self, name: str, pairs: list[tuple[float, float]], target: str, unit: str = "s"):
        ratios = sorted(one / other for one, other in pairs)
        first, second = (statistics.median(values) for values in zip(*pairs))
        shown = f"{first:.3g} {unit} against {second:.3g} {unit}"
        self.bench.row(name, statistics.median(ratios), ratios[0], ratios[-1], target, shown)

    def value(self, name: str, values: list[float], target: str, shown: str):
        values = sorted(values)
        self.bench.row(name, statistics.median(values), values[0], values[-1], target, shown)

    def saving(self):
        code, gigabytes = SAVE.format(tests=str(TESTS)), self.size / 1e9

        def save(how: str) -> list[float]:
            return list(map(float, self.run("python", "-c", code, how, str(self.size))[2].split()))

        rounds = [(save("once"), save("twice"), save("torch")) for _ in range(self.bench.rounds)]
        what = f"saving {gigabytes:.3g} GB"
        pairs = [(once[0], plain[0]) for once, _, plain in rounds]
        self.ratio(f"{what} / torch.save and fsync, CPU", pairs, "<= 1.3")
        pairs = [(twice[0], plain[0]) for _, twice, plain in rounds]
        self.ratio(f"{what} as best and last / torch.save and fsync once", pairs, "<= 1.3")
        memory = [once[1] for once, _, _ in rounds]
        self.value(f"{what}: more memory, in sizes of it", memory, "<= 0.05", "peak of the process")

    def epochs(self):
        """The CPU time of an epoch, early and late, and that of plain Lightning."""
        plain = PLAIN.format(package=self.name)

        def per_epoch(printed: str, first: int, last: int) -> float:
            lines = map(str.split, printed.splitlines())
            times = {int(epoch): float(cpu) for _, epoch, cpu in lines}
            return 1000 * (times[last] - times[first]) / (last - first)

        def marks(printed: str) -> str:
            return "\n".join(line for line in printed.splitlines() if line.startswith("cpu "))

        def ours(number: int, model: str = "Tiny") -> str:
            words = [f"model_name={model}", "callback_names=Marks"]
            return marks(self.train(*words, f"trainer_args.max_epochs={number}")[2])

        def theirs(number: int) -> str:
            return marks(self.run("python", "-c", plain, str(number))[2])

        pairs = [
            (per_epoch(ours(301, "Rising"), 100, 300), per_epoch(theirs(301), 100, 300))
            for _ in range(self.bench.rounds)
        ]
        name = "an epoch of ten numbers / Lightning with TensorBoard and a checkpoint"
        self.ratio(name, pairs, "<= 1.3", "ms")
        long = ours(9_101)
        pairs = [(per_epoch(long, 9_000, 9_100), per_epoch(long, 10, 110))]
        self.ratio("epoch 9,000 / epoch 10", pairs, "<= 1.1", "ms")

    def evaluating(self):
        runs = self.folder / "model_data" / "Tiny"
        shutil.rmtree(runs, ignore_errors=True)
        words = ["trainer_args.max_epochs=1", "trainer_args.limit_train_batches=1"]
        for size in (10, self.size // 4):
            self.train("model_name=Tiny", *words, f"model_args.size={size}")
        memory, times = [], []
        for _ in range(self.bench.rounds):
            evaluate = ["evaluate", "with", "evaluator_name=Nothing", "model_name=Tiny"]
            small, large = (self.run(*evaluate, f"run={number}") for number in (1, 2))
            memory.append((large[1] - small[1]) / self.size)
            times.append(large[0] - small[0])
        what = f"`evaluate` of {self.size / 1e9:.3g} GB"
        self.value(f"{what}: memory, in sizes of it", memory, "<= 2.2", "model and what is read")
        self.value(f"{what}: CPU seconds more than for ten numbers", times, "read once", "")

    def table(self):
        self.many_runs()
        command = ["evaluate", "runs", "with", "sort=val_loss"]
        times, pairs = [], []
        for _ in range(self.bench.rounds):
            times.append(self.run(*command)[0])
            pairs.append((times[-1], self.run("python", "-c", READ)[0]))
        name = f"`evaluate runs with sort=val_loss`, {RUNS:,} runs"
        self.value(f"{name}, CPU seconds", times, "<= 3", "")
        self.ratio(f"{name} / `json.load` of their files", pairs, "no target")

    def many_runs(self):
        """Makes `RUNS` copies of one run's files, each with a start and a seed of its own."""
        runs = self.folder / "model_data" / "Tiny"
        if (runs / str(RUNS)).exists():
            return
        shutil.rmtree(runs, ignore_errors=True)
        self.train("model_name=Tiny", "trainer_args.max_epochs=3")
        one = runs / "1"
        texts = {path.name: path.read_text() for path in one.glob("*.json*")}
        record, config = json.loads(texts["run.json"]), json.loads(texts["config.json"])
        for run in range(2, RUNS + 1):
            (runs / str(run)).mkdir()
            start = f"2026-01-01T00:00:00.{run:06}"
            texts["run.json"] = json.dumps(record | {"start_time": start}, indent=2)
            texts["config.json"] = json.dumps(config | {"seed": run}, indent=2)
            for name in sorted(texts):  # metrics.json before metrics.jsonl, of which it is made
                (runs / str(run) / name).write_text(texts[name])
            os.utime(runs / str(run) / "metrics.json")

    def comparing(self, examples: int = 1_000_000):
        self.many_runs()
        runs = self.folder / "model_data" / "Tiny"
        numbers = ",".join(map(str, range(1, 201)))
        words = ["evaluate", "compare", "with", "model_name=Tiny"]
        times = [self.run(*words, f"runs=[{numbers}]")[0] for _ in range(self.bench.rounds)]
        self.value("`compare` of 200 among 10,000 runs, CPU seconds", times, "linear", "")
        for run in (1, 2):
            folder = runs / str(run) / "evaluations" / "1"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(runs / "1" / "run.json", folder)
            config = {"evaluator_name": "Nothing", "dataset_args": {}, "evaluator_args": {}}
            (folder / "config.json").write_text(json.dumps(config))
            info = {"fingerprint": {}, "dataset_args": {}, "checkpoint": "checkpoints/best.ckpt"}
            (folder / "info.json").write_text(json.dumps(info))
            rows = ("0.0" if index % (run + 1) else "1.0" for index in range(examples))
            (folder / "per_example.csv").write_text("\n".join(["hit", *rows]) + "\n")
            (folder / "results.json").write_text(json.dumps({"hit": 1 / (run + 1)}))
        times = [self.run(*words, "runs=[1,2]") for _ in range(self.bench.rounds)]
        shown = "with an interval" if "95 %" in times[0][2] else "WITHOUT an interval"
        name = "`compare` of two runs, a million test examples, CPU seconds"
        self.value(name, [time for time, *_ in times], "<= 3", shown)

    def changed_file(self, size: int = 120_000_000):
        """What a changed, tracked file costs at the start of a run."""
        project, words = self.bench.project.path, ["model_name=Tiny", "trainer_args.max_epochs=1"]

        def git(*words: str):
            person = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
            command = ["git", "-C", str(project), *person, *words]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        git("init", "-q")
        text = b"a line of text, as there are many of them in a table\n"
        (project / "large.csv").write_bytes(text * (size // len(text)))
        git("add", "-A")
        git("commit", "-q", "-m", "all")
        before = [self.train(*words)[0] for _ in range(self.bench.rounds)]
        (project / "large.csv").write_bytes(b"changed\n" + text * (size // len(text)))
        after = [self.train(*words)[0] for _ in range(self.bench.rounds)]
        diff = max(path.stat().st_size for path in self.folder.rglob("uncommitted.diff"))
        shutil.rmtree(project / ".git")
        (project / "large.csv").unlink()
        more = statistics.median(after) - statistics.median(before)
        name = f"a changed, tracked file of {size / 1e6:.0f} MB: CPU seconds more at a start"
        self.value(name, [more], "<= 1", f"{diff} bytes in the run's folder")

    def output(self):
        """What a line costs, however many were printed before."""
        words = ["model_name=Talks", "trainer_args.max_epochs=1"]

        def printing(lines: int) -> float:
            return self.train(*words, f"model_args.lines={lines}")[0]

        pairs = []
        for _ in range(self.bench.rounds):
            none, some, many = printing(0), printing(50_000), printing(500_000)
            pairs.append(((many - none) / 500, (some - none) / 50))
        self.ratio("a line of output of 500,000 / of 50,000", pairs, "<= 1.3", "ms for 1,000")

    def workers(self):
        words = ["dataset_name=InMemory", "dataloader_args.batch_size=512"]
        printed = self.train(*words, "trainer_args.max_epochs=1", "model_name=MNISTModel")[2]
        advised = float("num_workers=2" in printed)
        speed = next(line for line in printed.splitlines() if line.startswith("speed"))
        self.value("worker processes advised for 600,000 images in memory", [advised], "0", speed)

    def typos(self, number: int = 1000):
        models = self.bench.project.package / "models"
        for index in range(number):
            (models / f"other_{index}.py").write_text(f"class Other{index}:\n    pass\n")
        words = ["train", "with", "model_name=MNISTModle"]
        times = [self.run(*words, status=1)[0] for _ in range(self.bench.rounds)]
        for index in range(number):
            (models / f"other_{index}.py").unlink()
        self.value(f"a mistyped class among {number:,} files, CPU seconds", times, "<= 0.3", "")
