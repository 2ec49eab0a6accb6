"""Writes the folder of a run, `<log_dir>/<ModelName>/<id>/`:

config.json         the configuration, as it was configured
info.json           every argument with its default, data and their hashes, machine, speed
run.json            status, result, attempts, host, versions, git commit
cout.txt            what was printed, as it came
metrics.jsonl       the metrics of each epoch, appended to
metrics.json        the same in sacred's form, made at the end
sources/            all sources of the package; of an evaluation, those that are not the run's
uncommitted.diff    changes to tracked files that were not committed
checkpoints/        best.ckpt and last.ckpt
events.out.*        TensorBoard's curves; hparams.yaml is its logger's
profile.txt         of a run with a profiler
resources/          files that a plug-in opened by sacred's open_resource
evaluations/<n>/    one evaluation: the same files, results.json, and what the evaluator writes
attempts/<n>/       sources of a later attempt, where they had changed
lock                held by the process that trains; dies with it

JSON files are replaced as a whole, so that a kill leaves the old one or the new one; output and
metrics are appended to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ..config.invocation import Invocation
from ..config.sacred_internals import RunObserver, as_json
from ..errors import UserError, refusals
from ..processes import say
from .files import plain, refuse_links, refuse_links_in, write_json
from .lock import lock
from .metrics_file import read_metrics
from .new_folder import make_folder
from .output import Output
from .provenance import git_state, keep_sources, versions
from .stored import Run


class RunFolder(RunObserver):
    """A sacred observer whose folder is complete and survives what its process does not.

    It writes what sacred's FileStorageObserver (0.8.7) writes, and more. That one's files are
    written in place, its output and metrics at heartbeats.

    Args:
        basedir: folder of the runs; a new one gets the next number in it.
        stored: the run whose folder is taken over: one that is queued, and begins now.
        config: what is recorded as the configuration; None: that of this process.
        evaluated: folder of the run that an evaluation is of.

    Attributes:
        dir: folder of the run; None before it has one.
    """

    # Above sacred's own observers (20 to 40): the first of a run's names it, and has its folder.
    priority = 100

    def __init__(
        self,
        basedir: Path,
        stored: Run | None = None,
        config: dict[str, Any] | None = None,
        evaluated: Path | None = None,
    ):
        # "absolute": a plug-in may change the current folder later.
        self.basedir, self.stored, self.evaluated = Path(basedir).absolute(), stored, evaluated
        self.recorded = config
        self.dir: Path | None = None
        self.record: dict[str, Any] = {}  # run.json
        self._lock = threading.RLock()
        self.output: Output | None = None
        self._problem: OSError | None = None

    @property
    def problem(self) -> OSError | None:
        """Why a file could not be written, or None."""
        return self._problem or (self.output.problem if self.output else None)

    @property
    def _folder(self) -> Path:
        assert self.dir, "events come after `queued_event` or `started_event`"
        return self.dir

    # The beginning

    def queued_event(  # the names and types of all events are those of sacred's RunObserver
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: str | None,
    ) -> str:
        if self.stored:
            raise UserError(f"{self.stored.name} exists already: only a new run is queued")
        config = {key: value for key, value in config.items() if key != "resume"}
        with refusals("run", (OSError,)):
            self._make(_id)
            write_json(self._folder / "config.json", config)
            record = {"experiment": ex_info, "command": command, "host": host_info}
            record |= {"meta": meta_info, "queue_time": queue_time.isoformat()}
            self._update(record | {"status": "QUEUED"})
        name = f"{self.basedir.name}/{self._folder.name}"
        say(f"queued {name}: `train with resume={name}` starts it")
        return self._folder.name

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: str | None,
    ) -> str:
        attempt = {
            "start_time": start_time.isoformat(),
            "stop_time": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "status": "RUNNING",
            "why": None,
        }
        config = {key: value for key, value in (self.recorded or config).items() if key != "resume"}
        with refusals("run", (OSError,)):
            self._take_over(self.stored) if self.stored else self._make(_id)
            facts = {"command": command, "host": host_info, "meta": meta_info}
            self._begin(attempt, config, facts | {"experiment": dict(ex_info)})
            self.output = Output(self._folder / "cout.txt")
        self.output.start()
        return self._folder.name

    def _begin(
        self, attempt: dict[str, Any], config: dict[str, Any], facts: dict[str, Any]
    ) -> None:
        """Writes configuration and record."""
        facts["experiment"] |= self._provenance()
        queued = self.stored.record if self.stored else {}  # it may have failed to begin before
        record = {
            "start_time": attempt["start_time"],
            "status": "RUNNING",
            "resources": [],
            "artifacts": [],
            "heartbeat": None,
            "attempts": [*queued.get("attempts", []), attempt],
        }
        # The record comes last: a folder that has one is a run, whenever this process dies.
        write_json(self._folder / "config.json", config)
        self._update(queued | facts | record)

    def _make(self, name: str | None) -> None:
        self.dir = make_folder(self.basedir, name)
        self.lock = lock(self.dir)  # held until this object is gone

    def _provenance(self) -> dict[str, Any]:
        kept = keep_sources(self._folder, self.evaluated)
        return kept | {"repositories": git_state(self._folder), "dependencies": versions()}

    def _take_over(self, run: Run) -> None:
        """Takes over the folder of a stored run."""
        self.dir = run.path.absolute()
        self.lock = lock(run.path)
        refuse_links_in(run.path)  # again: it was unlocked until now
        for leftover in run.path.rglob("*.tmp"):
            if leftover.is_symlink() or leftover.is_file():
                leftover.unlink()

    # Meanwhile

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        with self._noting_problems():
            self._update({"heartbeat": beat_time.isoformat(), "result": result})
            if info:
                self.keep_info(info)

    def keep_info(self, info: dict[str, Any]) -> None:
        write_json(self._folder / "info.json", plain(**info))

    def has_trained(self) -> None:
        """A checkpoint has been saved."""

    def log_metrics(self, metrics_by_name: dict[str, Any], info: dict[str, Any]) -> None:
        """Nothing: `EpochReport` keeps the metrics, in step with the checkpoints."""

    def resource_event(self, filename: str) -> None:
        path = Path(filename)
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        target = self._folder / "resources" / f"{path.stem}_{digest}{path.suffix}"
        target.parent.mkdir(exist_ok=True)
        refuse_links(target)
        shutil.copyfile(path, target)
        self._update({"resources": [*self.record["resources"], [str(filename), str(target)]]})

    def artifact_event(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> None:
        target, known = self._folder / name, self.record["artifacts"]
        refuse_links(target)
        if target.exists() and not target.samefile(filename) and name not in known:
            raise FileExistsError(f"{target} is a file of the run: call the artifact otherwise")
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(filename, target)
        self._update({"artifacts": [*known, name]})

    # The end

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        self._end(stop_time, "COMPLETED", None, result=result)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        self._end(interrupt_time, status, "stopped by Ctrl-C or SIGTERM")

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        self._end(fail_time, "FAILED", fail_trace[-1].strip(), fail_trace=fail_trace)

    def _end(self, time: datetime, status: str, why: str | None, **more: Any) -> None:
        if not self.record:  # it ended while its folder was being made
            if self.dir and not self.stored:
                shutil.rmtree(self.dir, ignore_errors=True)
            return
        if self.output:
            self.output.stop()
        end = {"stop_time": time.isoformat(), "status": status}
        *earlier, last = self.record["attempts"]
        attempts = [*earlier, last | end | {"why": why}]
        with self._noting_problems():
            self._update(end | more | {"attempts": attempts})
            if self.stored and self.stored.record["status"] == "QUEUED":
                has_begun = any(self._folder.glob("checkpoints/*.ckpt")) or status == "COMPLETED"
                if not has_begun:
                    self.record = self.stored.record
                    self._update({"attempts": attempts})
            with contextlib.suppress(ValueError, LookupError, TypeError):  # damaged: readers say so
                read_metrics(self._folder)  # makes metrics.json

    def _update(self, changes: dict[str, Any]) -> None:
        """Changes the record; heartbeats do it in a thread of their own."""
        with self._lock:
            self.record = self.record | changes
            write_json(self._folder / "run.json", as_json(self.record))

    @contextlib.contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """A full disk does not end the training from another thread; the end tells of it."""
        try:
            yield
        except OSError as error:
            self._problem = error


def run_folder(invocation: Invocation, elsewhere: Path | None = None) -> Path | None:
    """The folder of the run that is going on, or None for a run that is not stored (`-u`).

    Only rank zero knows the folder, and writes. The other ranks need the same callbacks, which
    Lightning then tells rank zero's folder: `elsewhere` is a stand-in.
    """
    observers = invocation.experiment.current_run.observers
    if observers:
        return Path(observers[0].dir)
    return elsewhere if invocation.is_stored else None


def store_record(invocation: Invocation, record: dict[str, Any]) -> None:
    """Writes info.json now: sacred does not before the first heartbeat."""
    run = invocation.experiment.current_run
    run.info.update(record)
    if run.observers:
        run.observers[0].keep_info(record)


def has_trained(invocation: Invocation) -> None:
    """Tells the folder of the run that is going on that a checkpoint has been saved."""
    for observer in invocation.experiment.current_run.observers[:1]:
        observer.has_trained()
