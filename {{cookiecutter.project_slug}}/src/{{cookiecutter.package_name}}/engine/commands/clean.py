"""`evaluate clean`: deletes what no longer serves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import refusals
from ..processes import say
from ..reports.every_outcome import sound_runs
from ..runs.stored import Run


def clean(log_dir: str, yes: bool = False) -> None:
    """Says what it would delete: unfinished runs without a checkpoint, superseded checkpoints, and
    what kills have left over. Deletes it with yes=True.
    """
    total = 0
    doomed = list(_doomed(sound_runs(log_dir)))
    for path, reason in doomed:
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.lstat().st_size for file in files)
        total += size
        say(f"{size / 1e6:9.2f} MB  {path}  ({reason})")
        if yes:
            with refusals(str(path)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not doomed:
        say(f"there is nothing to clean in {log_dir}/")
    elif yes:
        say(f"deleted {total / 1e6:.2f} MB")
    else:
        say(f"{total / 1e6:9.2f} MB in all; to delete it: evaluate clean with yes=True")


def _doomed(found: list[Run]) -> Iterator[tuple[Path, str]]:
    for run in found:
        # Whatever is linked into the folder is not ours.
        if run.path.is_symlink() or run.path.parent.is_symlink() or run.status == "RUNNING":
            continue
        if run.status == "QUEUED":  # it has not begun yet
            continue
        if run.status != "COMPLETED" and not run.checkpoints():
            yield run.path, f"{run.status}, no checkpoint"
            continue
        last, best = (run.path / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
        both = last.is_file() and best.is_file()
        # Where they are one file with two names, deleting one of them would free nothing.
        if run.status == "COMPLETED" and both and not last.samefile(best):
            yield last, "superseded by best.ckpt, from which the run would then be trained further"
        yield from ((path, "left over") for path in run.path.glob("**/*.tmp") if path.is_file())
