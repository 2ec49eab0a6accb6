"""The evaluations of a run: each belongs to the checkpoint that it evaluated. Without torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .files import read_json, reading
from .stored import Run


@dataclass(frozen=True)
class Evaluation:
    """One finished evaluation.

    Attributes:
        path: its folder.
        evaluator: name of the class.
        checkpoint: name of the file that it evaluated.
        is_current: whether that file is still what was evaluated.
        results: the evaluator's first result is the first.
    """

    path: Path
    evaluator: object
    checkpoint: str
    is_current: bool
    results: dict[str, float]


def evaluations(run: Run) -> Iterator[Evaluation]:
    """The finished evaluations of a run, the newest first.

    Raises:
        UserError: a file of one is damaged; it is named.
    """
    folder, names = run.path / "evaluations", []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = os.listdir(folder)  # `Path.glob` takes five times as long: most runs have one
    for name in sorted(names, key=lambda name: (len(name), name), reverse=True):
        path = folder / name
        if not os.path.lexists(path / "run.json"):
            continue
        record = read_json(path / "run.json")
        if record.get("status") != "COMPLETED":
            continue
        config, results = read_json(path / "config.json"), read_json(path / "results.json")
        info = read_json(path / "info.json")
        with reading(path / "results.json"):
            values = {name: float(value) for name, value in results.items()}
        with reading(path / "info.json"):
            checkpoint = Path(info["checkpoint"]).name
            is_current = _is_current(run, checkpoint, record, info)
        yield Evaluation(path, config.get("evaluator_name"), checkpoint, is_current, values)


def is_evaluated(run: Run, evaluator: str) -> bool:
    """Whether the run's checkpoint, as it is now, has an evaluation by an evaluator.

    Raises:
        UserError: the run has no checkpoint, or a file of an evaluation is damaged.
    """
    name = run.checkpoint().name
    return any(
        found.is_current and (found.evaluator, found.checkpoint) == (evaluator, name)
        for found in evaluations(run)
    )


def checkpoint_record(checkpoint: Path) -> dict[str, Any]:
    """What an evaluation records of the checkpoint that it evaluates."""
    return {
        "checkpoint": f"checkpoints/{checkpoint.name}",  # in the run's folder, wherever that is
        "checkpoint_content": _content(checkpoint),
        "checkpoint_state": _state(checkpoint),
    }


def _is_current(run: Run, name: str, record: dict[str, Any], info: dict[str, Any]) -> bool:
    path = run.path / "checkpoints" / name
    if not path.is_file():  # `evaluate clean` deletes what is superseded: nothing came after it
        return True
    if "checkpoint_content" in info:
        is_untouched = info.get("checkpoint_state") == _state(path)
        return is_untouched or info["checkpoint_content"] == _content(path)
    # Version 0.4.0 and before: the run has gone on since then, and has saved this file.
    began = str(record.get("start_time"))
    saved = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).replace(tzinfo=None)
    went_on = any(str(attempt.get("start_time")) > began for attempt in run.attempts[1:])
    return not (went_on and saved.isoformat() > began)


def _state(path: Path) -> list[int]:
    """Size and time of a file: as long as neither changes, its content need not be looked at."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _content(path: Path) -> str:
    """Tells the contents of checkpoints apart, also after copies, by reading some bytes of each.

    torch.save writes a zip archive, whose directory has a checksum of each tensor in it.
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.partition("/")[2]  # without the archive's own name
                digest.update(f"{name} {entry.CRC} {entry.file_size}\n".encode())
    except (OSError, zipfile.BadZipFile, ValueError):  # of an early version of torch, or damaged
        digest.update(str(_state(path)).encode())
    return digest.hexdigest()
