"""Runs on disk: the folder that holds everything of a run, and how a run is found again.

`<log_dir>/<ModelName>/<id>/` is a run; `<run>/evaluations/<n>/` is one of its evaluations. Both
are written by the same observer. Nothing here imports torch.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sacred.observers import FileStorageObserver

from .experiment import PACKAGE, UserError, unknown


class RunFolder(FileStorageObserver):
    """sacred's file observer, whose folder is complete: sources, versions and commit are in it."""

    def __init__(self, basedir: Path):
        super().__init__(basedir, copy_sources=False)  # they are copied below

    def started_event(self, ex_info, *args, **kwargs):
        return super().started_event(dict(ex_info), *args, **kwargs)  # `-F` adds other observers

    def _make_run_dir(self, _id):
        if _id is not None and not re.fullmatch(r"\w[\w.-]*", str(_id)):
            raise UserError(f"a run cannot be called {_id!r}: use letters, digits, '-', '_', '.'")
        try:
            super()._make_run_dir(_id)
        except FileExistsError:
            raise UserError(f"{self.basedir}/{_id} exists already: choose another id") from None
        except OSError as error:
            raise UserError(f"no folder for the run can be made: {error}") from error

    def failed_event(self, fail_time, fail_trace):
        if self.run_entry:  # else it failed before it had a folder
            super().failed_event(fail_time, fail_trace)

    def save_sources(self, ex_info):
        ex_info["repositories"] = _git()
        ex_info["dependencies"] = sorted(
            {f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()}
        )
        files = sorted(PACKAGE.rglob("*.py"))
        for path in files:
            target = Path(self.dir, "sources", path.relative_to(PACKAGE.parent))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        names = [path.relative_to(PACKAGE.parent).as_posix() for path in files]
        return [[name, f"sources/{name}"] for name in names]


def plain(**groups) -> dict:
    """What a record can hold of some values: JSON's types; tuples as lists, other objects not."""

    def convert(value):
        if isinstance(value, dict):
            return {str(k): convert(v) for k, v in value.items() if _is_plain(v)}
        return [convert(v) for v in value] if isinstance(value, (list, tuple)) else value

    return convert(groups)


def _is_plain(value) -> bool:
    return value is None or isinstance(value, (str, int, float, dict, list, tuple))


def _git() -> list[dict]:
    """Commit of the project's repository and whether its tree was dirty; [] outside of git."""

    def git(*words):
        command = ["git", "-C", str(PACKAGE), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or no commit yet
        return []
    return [{"commit": commit, "dirty": bool(changes)}]


@dataclass(frozen=True)
class Run:
    """A stored run, as its folder tells."""

    path: Path
    record: dict  # run.json
    config: dict  # config.json, as configured
    info: dict  # info.json: arguments with every default spelled out, data

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def status(self) -> str:
        return self.record["status"]

    @property
    def best(self) -> float:
        """Best value of the monitored metric, or NaN."""
        value = (self.record.get("result") or {}).get(f"best_{self.config['monitor']}")
        return value if isinstance(value, float) else math.nan

    @property
    def measure(self) -> tuple:
        """Dataset, metric and mode: runs that share them can be compared by `best`."""
        return tuple(self.config.get(key) for key in ("dataset_name", "monitor", "monitor_mode"))

    def checkpoint(self) -> Path:
        """The best checkpoint, or the last where nothing was validated."""
        for name in ("best.ckpt", "last.ckpt"):
            path = self.path / "checkpoints" / name
            if path.is_file():
                return path
        raise UserError(f"run {self.name} ({self.status}) has left no checkpoint")


def read_run(path: Path) -> Run:
    """Reads the run in folder `path`.

    Raises:
        UserError: a file is missing or is no JSON of a run; it is named.
    """
    files = {}
    for name in ("run.json", "config.json", "info.json"):
        file = path / name
        try:
            files[name] = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(files[name], dict):
                raise ValueError("not an object")
        except FileNotFoundError:
            if name == "info.json":  # a run that failed early has none
                files[name] = {}
                continue
            raise UserError(f"{path} is no run: it has no {name}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read: {error}") from None
    for name, key, kind, default in (
        ("run.json", "status", str, None),
        ("config.json", "monitor", str, None),
        ("config.json", "dataset_name", str, None),
        ("config.json", "dataset_args", dict, None),
        ("info.json", "dataset_args", dict, {}),
        ("info.json", "model_args", dict, {}),
    ):
        if not isinstance(files[name].get(key, default), kind):
            raise UserError(
                f"{path / name} is not of a training run: its {key!r} is missing or of another kind"
            )
    return Run(path, files["run.json"], files["config.json"], files["info.json"])


def all_runs(log_dir: str) -> Iterator[Run]:
    """Every readable run below `log_dir`, oldest first."""
    found = []
    for file in Path(log_dir).glob("*/*/run.json"):
        try:
            found.append(read_run(file.parent))
        except UserError:
            continue  # named when it is asked for
    yield from sorted(found, key=lambda run: str(run.record.get("start_time")))


def find_run(log_dir: str, run: str | int, model_name: str) -> Run:
    """The run that is meant by `run`.

    Args:
        log_dir: folder of all runs.
        run: "last" (newest finished), "best" (best monitored value), an id, or "<Model>/<id>".
        model_name: the model that a bare id belongs to.

    Raises:
        UserError: there is no such run; the message lists those that exist.
    """
    if run not in ("last", "best"):
        name = str(run) if "/" in str(run) else f"{model_name}/{run}"
        known = [f"{p.parent.parent.name}/{p.parent.name}" for p in _records(log_dir)]
        if name not in known:
            shown = ", ".join(known[-20:]) or "none yet: type `train` first"
            raise UserError(f"run {name!r} is unknown: in {log_dir}/ there are {shown}")
        return read_run(Path(log_dir, name))
    finished = [run for run in all_runs(log_dir) if run.status == "COMPLETED"]
    if not finished:
        raise UserError(f"there is no finished run in {log_dir}/: type `train` first")
    if run == "last":
        return finished[-1]
    newest = finished[-1]
    comparable = [
        run for run in finished if run.measure == newest.measure and not math.isnan(run.best)
    ]
    _, monitor, mode = newest.measure
    if not comparable:
        raise UserError(f"no finished run in {log_dir}/ has a value of {monitor!r}")
    return (min if mode == "min" else max)(comparable, key=lambda run: run.best)


def _records(log_dir: str) -> list[Path]:
    """The run.json of every run, in the order of their names."""
    return sorted(
        Path(log_dir).glob("*/*/run.json"),
        key=lambda p: (p.parent.parent.name, len(p.parent.name), p.parent.name),
    )


def run_of_checkpoint(checkpoint_path: str) -> Run:
    """The run whose folder a checkpoint lies in."""
    path = Path(checkpoint_path)
    if not path.is_file():
        others = [p.name for p in path.parent.glob("*.ckpt")]
        raise unknown("checkpoint_path: file", str(path), [str(path.parent / o) for o in others])
    if not (path.parent.parent / "run.json").is_file():
        raise UserError(
            f"checkpoint_path: {path} lies in no run's folder (<run>/checkpoints/), so nothing "
            "tells which model and dataset it belongs to"
        )
    return read_run(path.resolve().parent.parent)
