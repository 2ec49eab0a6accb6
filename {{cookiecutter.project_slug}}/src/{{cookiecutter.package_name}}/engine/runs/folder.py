"""Writes the folder of a run: configuration, sources, data, and how it went.

A folder belongs to one process at a time: it holds a lock on it that dies with the process. Files
are replaced as a whole, so that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sacred.observers import FileStorageObserver
from sacred.serializer import flatten

from ..config.invocation import Invocation
from ..errors import UserError, refusals
from .files import write_json
from .lock import lock
from .provenance import copy_sources, git_state, versions
from .stored import Run


class RunFolder(FileStorageObserver):
    """sacred's file observer, whose folder is complete and survives what its process does not.

    Args:
        basedir: folder of the runs; a new one gets the next number in it.
        resumed: the run that goes on, in its own folder.
        changes: what its configuration says now and did not: dotted key -> value.
        config: what is recorded as the configuration; None: that of this process.

    Attributes:
        problem: why a file could not be written, or None.
    """

    def __init__(
        self,
        basedir: Path,
        resumed: Run | None = None,
        changes: dict | None = None,
        config: dict | None = None,
    ):
        super().__init__(basedir, copy_sources=False)  # they are copied below
        self.resumed, self.changes, self.recorded = resumed, changes or {}, config
        self.problem: OSError | None = None

    def started_event(self, *args, **kwargs):
        with refusals("run", (OSError,)):
            return self._start(*args, **kwargs)

    def _start(self, ex_info, command, host_info, start_time, config, meta_info, _id):
        attempt = {
            "start_time": start_time.isoformat(),
            "stop_time": None,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "status": "RUNNING",
            "why": None,
        }
        config = {key: value for key, value in (self.recorded or config).items() if key != "resume"}
        if not self.resumed:
            _id = super().started_event(  # a copy of `ex_info`, because `-F` adds other observers
                dict(ex_info), command, host_info, start_time, config, meta_info, _id
            )
            self.run_entry["attempts"] = [attempt]
            self.save_json(self.run_entry, "run.json")
            return _id
        self.dir = str(self.resumed.path)
        self._lock()
        for leftover in self.resumed.path.rglob("*.tmp"):
            leftover.unlink()
        self.run_entry = dict(self.resumed.record)
        for key in ("stop_time", "fail_trace", "result"):
            self.run_entry.pop(key, None)
        *earlier, last = self.resumed.attempts
        if last["status"] == "RUNNING":
            files = [*self.resumed.path.glob("*.*"), *self.resumed.path.glob("checkpoints/*")]
            sign = datetime.fromtimestamp(max(f.stat().st_mtime for f in files), timezone.utc)
            last = last | {
                "status": "DEAD",
                "stop_time": sign.replace(tzinfo=None).isoformat(),  # as sacred's
                "why": "its process is gone",
            }
        attempt["changes"] = self.changes
        number = len(earlier) + 2
        if self.resumed.changed_sources():
            attempt["sources"] = f"attempts/{number}/sources"
            copy_sources(Path(self.dir, attempt["sources"]))
        self.run_entry |= {"attempts": [*earlier, last, attempt], "status": "RUNNING"}
        self.config, self.info, self.cout, self.cout_write_cursor = config, {}, "", 0
        self.save_json(self.run_entry, "run.json")
        self.save_json(config, "config.json")
        return self.resumed.path.name

    def _make_run_dir(self, _id):
        if _id is not None and not re.fullmatch(r"\w[\w.-]*", str(_id)):
            raise UserError(f"a run cannot be called {_id!r}: use letters, digits, '-', '_', '.'")
        try:
            super()._make_run_dir(_id)
            self._lock()
        except FileExistsError:
            raise UserError(f"{self.basedir}/{_id} exists already: choose another id") from None
        except OSError as error:
            raise UserError(f"no folder for the run can be made: {error}") from error

    def _lock(self):
        self.lock = lock(Path(self.dir))  # held until this object is gone

    def save_sources(self, ex_info):
        ex_info["repositories"] = git_state(Path(self.dir))
        ex_info["dependencies"] = versions()
        names = copy_sources(Path(self.dir, "sources"))
        return [[name, f"sources/{name}"] for name in names]

    def save_json(self, obj, filename):
        write_json(Path(self.dir, filename), flatten(obj))

    def log_metrics(self, metrics_by_name, info):
        """Nothing: `EpochReport` keeps the metrics, in step with the checkpoints."""

    def heartbeat_event(self, *args, **kwargs):
        with self._noting_problems():
            super().heartbeat_event(*args, **kwargs)

    def completed_event(self, stop_time, result):
        with self._noting_problems():
            self._end(stop_time, "COMPLETED", None)
            super().completed_event(stop_time, result)

    def interrupted_event(self, interrupt_time, status):
        with self._noting_problems():
            self._end(interrupt_time, status, "stopped by Ctrl-C or SIGTERM")
            super().interrupted_event(interrupt_time, status)

    def failed_event(self, fail_time, fail_trace):
        if not self.run_entry:  # it failed before it had a folder
            return
        with self._noting_problems():
            self._end(fail_time, "FAILED", fail_trace[-1].strip())
            super().failed_event(fail_time, fail_trace)
            if self.resumed and not self._has_saved():
                # Most likely a mistake on the command line: the run is as it was.
                self.run_entry["status"] = self.resumed.status
                self.save_json(self.run_entry, "run.json")
                self.save_json(self.resumed.config, "config.json")

    def _has_saved(self):
        begun = Path(self.dir, "lock").stat().st_mtime  # which was written at the beginning
        return any(path.stat().st_mtime > begun for path in self.resumed.checkpoints())

    def _end(self, time, status, why):
        self.run_entry["attempts"][-1].update(stop_time=time.isoformat(), status=status, why=why)

    @contextlib.contextmanager
    def _noting_problems(self):
        """A full disk does not end the training from another thread; the end tells of it."""
        try:
            yield
        except OSError as error:
            self.problem = error


def record_failure(run: Run, why: str) -> None:
    """Makes a run FAILED whose own process can no longer do that."""
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()  # as sacred's
    end = {"status": "FAILED", "stop_time": now}
    *earlier, last = run.attempts
    attempts = [*earlier, last | end | {"why": why}]
    write_json(run.path / "run.json", run.record | end | {"attempts": attempts})


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
        write_json(Path(run.observers[0].dir, "info.json"), record)
