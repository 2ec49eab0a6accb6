"""Which stored run is meant: by its number, its name, `last`, `best`, or a checkpoint of it."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError, unknown
from .stored import Run, read_run


def every_run(log_dir: str) -> Iterator[tuple[Path, Run | UserError]]:
    """Every folder below `log_dir` that may be a run's, with the run or what is wrong with it.

    The oldest first; those that cannot be read come last.
    """
    found = list(each_run(log_dir))
    return iter(sorted(found, key=lambda pair: _age(pair[1])))


def _age(run: Run | UserError) -> tuple[bool, str]:
    return (True, "") if isinstance(run, UserError) else (False, run.began)


def each_run(log_dir: str) -> Iterator[tuple[Path, Run | UserError]]:
    """The same by name, one after the other: a record is large, and 10,000 are much to keep."""
    for parent in sorted(Path(log_dir).glob("*/")):
        if parent.name == "comparisons" or not parent.is_dir():
            continue
        with contextlib.suppress(OSError), os.scandir(parent) as entries:
            for name in sorted(entry.name for entry in entries if entry.is_dir()):
                yield _read(parent / name)


def _read(path: Path) -> tuple[Path, Run | UserError]:
    try:
        return path, read_run(path)
    except UserError as error:
        return path, error


def all_runs(log_dir: str) -> list[Run]:
    """Every readable run below `log_dir`, oldest first; unreadable ones are skipped."""
    return [run for _, run in every_run(log_dir) if isinstance(run, Run)]


def find_run(log_dir: str, run: str | int, model_name: str) -> Run:
    """The run that is meant by `run`.

    Args:
        log_dir: folder of all runs.
        run: "last" (newest finished), "best" (best monitored value), "newest" (finished or not;
            a trial run if there is no other), an id, or "<Model>/<id>".
        model_name: the model that a bare id belongs to.

    Raises:
        UserError: there is no such run; the message lists those that exist.
    """
    if run == "newest":
        runs = all_runs(log_dir)
        if not runs:
            raise UserError(f"there is no run in {log_dir}/: type `train` first")
        return ([run for run in runs if not run.trial] or runs)[-1]
    if run not in ("last", "best"):
        name = str(run) if "/" in str(run) else f"{model_name}/{run}"
        if not re.fullmatch(r"[^/]*[^/.][^/]*/[^/]*[^/.][^/]*", name) or not (
            Path(log_dir, name, "run.json").is_file()
        ):
            known = [f"{p.parent.parent.name}/{p.parent.name}" for p in _records(log_dir)]
            shown = ", ".join(known[-20:]) or "none yet: type `train` first"
            raise UserError(f"run {name!r} is unknown: in {log_dir}/ there are {shown}")
        return read_run(Path(log_dir, name))
    finished = [run for run in all_runs(log_dir) if run.status == "COMPLETED"]
    if not finished:
        raise UserError(f"there is no finished run in {log_dir}/: type `train` first")
    trial = finished[-1]
    finished = [run for run in finished if not run.trial]
    if not finished:
        raise UserError(
            f"there is no finished run in {log_dir}/ but trial runs, the newest of which is "
            f"{trial.name} ({trial.trial}): ask for it by name, run={trial.name}"
        )
    if run == "last":
        return finished[-1]
    newest = finished[-1]
    comparable = [
        run for run in finished if run.measure == newest.measure and not math.isnan(run.best)
    ]
    monitor, mode, *_ = newest.measure
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
    if path.is_symlink() and not path.is_file():
        raise UserError(f"checkpoint_path: {path} is a link to {path.readlink()}, which is no file")
    if not path.is_file():
        others = [p.name for p in path.parent.glob("*.ckpt")]
        raise unknown("checkpoint_path: file", str(path), [str(path.parent / o) for o in others])
    # A checkpoint may be a link out of the run's folder, or a link into it.
    for file in (Path(os.path.abspath(path)), path.resolve()):
        if (file.parent.parent / "run.json").is_file():
            return read_run(file.parent.parent)
    raise UserError(
        f"checkpoint_path: {path} lies in no run's folder (<run>/checkpoints/), so nothing "
        "tells which model and dataset it belongs to"
    )
