"""The metrics of a run: `metrics.jsonl`, a line for each epoch, and `metrics.json` made of it.

The lines are the truth: they are appended, so that an epoch costs the same however many there
were. `metrics.json` has sacred's form (metric -> values, steps, timestamps); it is made at the end
of a run, and after a kill by the next command that reads the run. A run of version 0.4.0 has
`metrics.json` only.
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .files import write_json

LINES, TABLE = "metrics.jsonl", "metrics.json"


def append_metrics(folder: Path, step: int, values: dict[str, float]) -> int:
    """Appends what was measured at a step; returns the size of the file, for a checkpoint."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)  # as sacred's
    line = {"step": step, "timestamp": now.isoformat(), "values": values}
    with (folder / LINES).open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(line) + "\n")
        return file.tell()


def cut_metrics(folder: Path, size: int) -> int:
    """Cuts off what was measured after a checkpoint; returns the size that is left.

    Args:
        folder: of the run.
        size: of the file when the checkpoint was saved.
    """
    with contextlib.suppress(FileNotFoundError), (folder / LINES).open("rb+") as file:
        size = min(size, _whole_lines(file.read()))
        file.truncate(size)
        return size
    return 0


def restore_metrics(folder: Path, history: dict[str, dict[str, list[Any]]]) -> int:
    """Writes the lines anew from sacred's form, which checkpoints of version 0.4.0 hold.

    Returns:
        The size of the file.
    """
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for name, entry in history.items():
        for timestamp, step, value in zip(entry["timestamps"], entry["steps"], entry["values"]):
            rows.setdefault((timestamp, step), {})[name] = value
    lines = [
        json.dumps({"step": step, "timestamp": timestamp, "values": rows[timestamp, step]}) + "\n"
        for timestamp, step in sorted(rows)
    ]
    part = folder / f"{LINES}.tmp"
    part.write_text("".join(lines), encoding="utf-8", newline="\n")
    os.replace(part, folder / LINES)
    return (folder / LINES).stat().st_size


def metrics_file(folder: Path) -> Path:
    """The file that `read_metrics` reads."""
    lines = folder / LINES
    return lines if lines.exists() else folder / TABLE


def read_metrics(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """The metrics of a run in sacred's form; {} if it ended before its first epoch.

    Raises:
        ValueError, LookupError, TypeError: the file is damaged.
    """
    file = metrics_file(folder)
    table: dict[str, dict[str, list[Any]]] = {}
    if not file.exists():
        return table
    if not file.is_file():  # opening a pipe might never end
        raise ValueError("no file")
    if file.name == TABLE:
        table = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise TypeError("not an object")
        return table
    content = file.read_bytes()
    for line in json.loads(b"[%s]" % b",".join(content[: _whole_lines(content)].splitlines())):
        for name, value in line["values"].items():
            entry = table.setdefault(name, {"values": [], "steps": [], "timestamps": []})
            entry["values"].append(value)
            entry["steps"].append(line["step"])
            entry["timestamps"].append(line["timestamp"])
    with contextlib.suppress(OSError):  # it may be somebody else's run
        if not _is_newer(folder / TABLE, file):
            write_json(folder / TABLE, table)
    return table


def _whole_lines(content: bytes) -> int:
    """The length of all lines that end: a kill or a full disk may have torn the last one."""
    return content.rfind(b"\n") + 1


def _is_newer(path: Path, other: Path) -> bool:
    try:
        return os.stat(path).st_mtime_ns >= os.stat(other).st_mtime_ns
    except FileNotFoundError:
        return False
