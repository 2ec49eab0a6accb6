"""A run on disk, as its folder tells.

`<log_dir>/<ModelName>/<id>/` is a run; `<run>/evaluations/<n>/` is one of its evaluations. Both
are written by the observer in folder.py. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import UserError
from .files import modified, read_json, write_json
from .lock import is_locked
from .provenance import changed_sources
from .trial import trial_setting

SILENCE_S = 60  # of a heartbeat every ten seconds, after which a run elsewhere counts as dead


@dataclass(frozen=True)
class Run:
    """A stored run, as its folder tells."""

    path: Path
    record: dict[str, Any]  # run.json
    config: dict[str, Any]  # config.json, as configured
    info: dict[str, Any]  # info.json: arguments with every default spelled out, data

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def model_name(self) -> str:
        """The class of its model; the folder of a model's runs may have been renamed since."""
        name: str = self.config.get("model_name", self.path.parent.name)
        return name

    @property
    def began(self) -> str:
        """When it was started, or queued."""
        times = [self.record.get("start_time"), *(a.get("start_time") for a in self.attempts)]
        return str(next(filter(None, times), self.record.get("queue_time")))

    @property
    def status(self) -> str:
        """As recorded; DEAD where the record says RUNNING and the process is gone."""
        recorded: str = self.record["status"]
        if recorded != "RUNNING" or is_locked(self.path):
            return recorded
        beat = self.record.get("heartbeat") or self.record.get("start_time")
        if self.attempts[-1].get("host") != socket.gethostname() and isinstance(beat, str):
            # Not every shared file system shows the locks of other machines.
            with contextlib.suppress(ValueError):  # the file may have been edited by hand
                silence = datetime.now(timezone.utc) - datetime.fromisoformat(f"{beat}+00:00")
                if silence.total_seconds() < SILENCE_S:
                    return "RUNNING"
        return self.status_at_rest

    @property
    def status_at_rest(self) -> str:
        """Its status if no process trains it: attempts that ended before they trained are none."""
        if (recorded := self.record["status"]) != "RUNNING":
            return str(recorded)
        trained = [a["status"] for a in self.attempts if a.get("trained", True)]
        return "DEAD" if not trained or trained[-1] == "RUNNING" else str(trained[-1])

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Start, stop, host, status and the reason for it, of the run and each resumption."""
        keys = ("start_time", "stop_time", "status")
        return self.record.get("attempts") or [{key: self.record.get(key) for key in keys}]

    def ended_attempts(self) -> list[dict[str, Any]]:
        """Its attempts; the last one, where it did not see its end, ends at its last sign."""
        *earlier, last = self.attempts
        if last["status"] == "RUNNING":
            files = [*self.path.glob("*.*"), *self.path.glob("checkpoints/*")]
            sign = datetime.fromtimestamp(max(map(modified, files)), timezone.utc)
            last = last | {
                "status": "DEAD",
                "stop_time": sign.replace(tzinfo=None).isoformat(),  # as sacred's
                "why": "its process is gone",
            }
        return [*earlier, last]

    def own_config(self) -> dict[str, Any]:
        """Its configuration as resolved: every default of model and data spelled out."""
        resolved = {
            key: self.info[key] for key in ("model_args", "dataset_args") if key in self.info
        }
        return self.config | {"model_name": self.model_name} | resolved

    def changed_sources(self) -> list[str]:
        """Sources of the project that are not what they were when the run began."""
        return changed_sources(self.path)

    @property
    def best(self) -> float:
        """Best value of the monitored metric, or NaN."""
        value = (self.record.get("result") or {}).get(f"best_{self.config['monitor']}")
        return value if isinstance(value, float) else math.nan

    @property
    def trial(self) -> str:
        """Which setting makes it a trial run, that `last`, `best` and `all` pass over; "" if none.

        A preset `profile` does so as well, a profiler alone does not.
        """
        meta = self.record.get("meta")
        presets = meta.get("named_configs") if isinstance(meta, dict) else None
        if isinstance(presets, list) and "profile" in presets:
            return "profile"
        trainer_args = self.config.get("trainer_args")
        known: object = self.info.get("trial")  # what the training knew of the data's size
        if isinstance(known, str) or not isinstance(trainer_args, dict):
            return str(known or "")
        return trial_setting(trainer_args, {})

    @property
    def measure(self) -> tuple[object, ...]:
        """Metric, mode and data: runs that share them can be compared by `best`.

        What a dataset says of itself (file, target, source, number of examples) tells whether the
        data are the same; where it says no more than the number, its arguments do.
        """
        data, hashes = self.info.get("data"), self.info.get("fingerprint")
        says_more = isinstance(data, dict) and data.keys() - {"examples"}
        facts = [data, sorted(map(str, hashes.values())) if isinstance(hashes, dict) else hashes]
        facts.append(None if says_more else self.own_config().get("dataset_args"))
        keys = ("monitor", "monitor_mode", "dataset_name")
        return (*(self.config.get(key) for key in keys), repr(facts))

    def checkpoint(self) -> Path:
        """The best checkpoint, or the last where nothing was validated."""
        for name in ("best.ckpt", "last.ckpt"):
            path = self.path / "checkpoints" / name
            if path.is_file():
                return path
            if path.is_symlink():
                raise UserError(f"{path} is a link to {path.readlink()}, which is not there")
        raise UserError(f"run {self.name} ({self.status}) has left no checkpoint")

    def checkpoints(self) -> list[Path]:
        """All its checkpoints, `last.ckpt` first, then from new to old."""
        paths = self.path.glob("checkpoints/*.ckpt")
        return sorted(paths, key=lambda p: (p.name == "last.ckpt", modified(p)), reverse=True)


def read_run(path: Path) -> Run:
    """Reads the run in folder `path`.

    Raises:
        UserError: a file is missing or is no JSON of a run; it is named.
    """
    files: dict[str, dict[str, Any]] = {}
    for name in ("run.json", "config.json", "info.json"):
        file = path / name
        if name == "info.json" and not os.path.lexists(file):  # a run that failed early has none
            files[name] = {}
        elif not os.path.lexists(file):
            raise UserError(f"{path} is no run: it has no {name}")
        else:
            files[name] = read_json(file)
    for name, key, kind, default in (
        ("run.json", "status", str, None),
        ("run.json", "attempts", list, []),
        ("config.json", "monitor", str, None),
        ("config.json", "dataset_name", str, None),
        ("config.json", "dataset_args", dict, None),
        ("config.json", "model_name", str, ""),
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


def record_failure(run: Run, why: str) -> None:
    """Makes a run FAILED whose own process can no longer do that."""
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()  # as sacred's
    end = {"status": "FAILED", "stop_time": now}
    *earlier, last = run.attempts
    attempts = [*earlier, last | end | {"why": why}]
    write_json(run.path / "run.json", run.record | end | {"attempts": attempts})
