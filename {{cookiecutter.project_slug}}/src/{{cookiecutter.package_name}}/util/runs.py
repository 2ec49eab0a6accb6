"""Runs on disk: the folder that holds everything of a run, and how a run is found again.

`<log_dir>/<ModelName>/<id>/` is a run; `<run>/evaluations/<n>/` is one of its evaluations. Both
are written by the observer in record.py. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from sacred.utils import iterate_flattened

from .experiment import PACKAGE, UserError, refusals, unknown

try:
    import fcntl
except ImportError:  # Windows: nothing tells there that two processes resume one run
    fcntl = None

SILENCE_S = 60  # of a heartbeat every ten seconds, after which a run elsewhere counts as dead


def lock(path: Path):
    """Locks a run's folder; the lock ends with the returned file, or with the process.

    Raises:
        UserError: another process has it; it is named. Or the folder cannot be written.
    """
    with refusals("run", (OSError,)):
        file = (path / "lock").open("a+", encoding="utf-8")
    for pause in (0.1, 0.1, 0):  # whoever looks whether a run is alive has the lock for a moment
        try:
            _lock(file, exclusive=True)
            break
        except OSError:
            time.sleep(pause)
    else:
        file.seek(0)
        raise UserError(f"{path.parent.name}/{path.name} is being trained by {file.read()}")
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def flat(config: dict) -> dict:
    """A configuration as dotted keys and their values, less its docstring and what is empty."""
    return {k: v for k, v in iterate_flattened(config) if k not in ("__doc__", "resume")}


def _is_locked(path: Path) -> bool:
    try:
        with (path / "lock").open(encoding="utf-8") as file:
            _lock(file, exclusive=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _lock(file, exclusive: bool) -> None:
    # fcntl's own locks, not those of the filelock library: worker processes, which may outlive a
    # killed training by some seconds, do not inherit them.
    if fcntl:
        fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)


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
        """As recorded; DEAD where the record says RUNNING and the process is gone."""
        if self.record["status"] != "RUNNING" or _is_locked(self.path):
            return self.record["status"]
        beat = self.record.get("heartbeat") or self.record.get("start_time")
        if self.attempts[-1].get("host") != socket.gethostname() and isinstance(beat, str):
            # Not every shared file system shows the locks of other machines.
            with contextlib.suppress(ValueError):  # the file may have been edited by hand
                silence = datetime.now(timezone.utc) - datetime.fromisoformat(f"{beat}+00:00")
                if silence.total_seconds() < SILENCE_S:
                    return "RUNNING"
        return "DEAD"

    @property
    def attempts(self) -> list[dict]:
        """Start, stop, host, status and the reason for it, of the run and each resumption."""
        keys = ("start_time", "stop_time", "status")
        return self.record.get("attempts") or [{key: self.record.get(key) for key in keys}]

    def own_config(self) -> dict:
        """Its configuration with every default of model and data spelled out and settled."""
        settled = {
            key: self.info[key] for key in ("model_args", "dataset_args") if key in self.info
        }
        return self.config | {"model_name": self.path.parent.name} | settled

    def evaluators(self) -> set[str]:
        """Names of the evaluators that have finished an evaluation of it."""
        names = set()
        for results in self.path.glob("evaluations/*/results.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                config = json.loads(results.with_name("config.json").read_text(encoding="utf-8"))
                names.add(config.get("evaluator_name"))
        return names

    def changed_sources(self) -> list[str]:
        """Sources of the project that are not what they were when the run began."""
        then = {p.relative_to(self.path / "sources"): p for p in self.path.glob("sources/**/*.py")}
        now = {p.relative_to(PACKAGE.parent): p for p in PACKAGE.rglob("*.py")}
        both = then.keys() & now.keys()
        changed = {p for p in both if then[p].read_bytes() != now[p].read_bytes()}
        return sorted(p.as_posix() for p in changed | (then.keys() ^ now.keys()))

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

    def checkpoints(self) -> list[Path]:
        """All its checkpoints, `last.ckpt` first, then from new to old."""
        paths = self.path.glob("checkpoints/*.ckpt")
        return sorted(paths, key=lambda p: (p.name == "last.ckpt", p.stat().st_mtime), reverse=True)


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
        ("run.json", "attempts", list, []),
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
    for attempt in files["run.json"].get("attempts", []):
        if not isinstance(attempt, dict) or not isinstance(attempt.get("status"), str):
            raise UserError(
                f"{path / 'run.json'} is not of a training run: {attempt!r} is no attempt"
            )
    return Run(path, files["run.json"], files["config.json"], files["info.json"])


def every_run(log_dir: str) -> Iterator[tuple[Path, Run | UserError]]:
    """Every folder below `log_dir` that may be a run's, with the run or what is wrong with it."""
    for path in sorted(Path(log_dir).glob("*/*/")):
        if path.parent.name == "comparisons" or not path.is_dir():
            continue
        try:
            yield path, read_run(path)
        except UserError as error:
            yield path, error


def all_runs(log_dir: str) -> list[Run]:
    """Every readable run below `log_dir`, oldest first; others are named when asked for."""
    found = [run for _, run in every_run(log_dir) if isinstance(run, Run)]
    return sorted(found, key=lambda run: str(run.record.get("start_time")))


def find_run(log_dir: str, run: str | int, model_name: str) -> Run:
    """The run that is meant by `run`.

    Args:
        log_dir: folder of all runs.
        run: "last" (newest finished), "best" (best monitored value), "newest" (finished or not),
            an id, or "<Model>/<id>".
        model_name: the model that a bare id belongs to.

    Raises:
        UserError: there is no such run; the message lists those that exist.
    """
    if run == "newest":
        runs = all_runs(log_dir)
        if not runs:
            raise UserError(f"there is no run in {log_dir}/: type `train` first")
        return runs[-1]
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
