"""Where a result came from: data, versions, machine, sources and commit."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ..plugins import PACKAGE

WHOLE = 1 << 30  # bytes up to which a file is hashed as a whole
PIECE = 1 << 20
LARGE = 1 << 20  # bytes of a file above which its changes are not recorded line by line
DIFF = 10 << 20  # bytes of a diff above which its summary is recorded


def fingerprint(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its path within the data; above 1 GiB, of its size and 64 pieces.

    The data's folder is the innermost one that holds all files: a copy elsewhere is the same.
    """
    paths = [Path(os.path.abspath(path)) for path in files]
    hashes: dict[str, str] = {}
    if not paths:
        return hashes
    folder = os.path.commonpath([path.parent for path in paths])
    for path in paths:
        digest, size = hashlib.sha256(), path.stat().st_size
        with path.open("rb") as file:
            if size <= WHOLE:
                while piece := file.read(PIECE):
                    digest.update(piece)
            else:
                digest.update(str(size).encode())
                for number in range(64):
                    file.seek((size - PIECE) * number // 63)
                    digest.update(file.read(PIECE))
        hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return hashes


def same_data(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two fingerprints are of the same files.

    Those of version 0.4.0 and before have names without folders; of several files with one name
    they have the last.
    """
    nested = [any("/" in name for name in hashes) for hashes in (one, other)]
    if nested == [True, False]:
        one = _names_only(one)
    elif nested == [False, True]:
        other = _names_only(other)
    return dict(one) == dict(other)


def _names_only(hashes: Mapping[str, str]) -> dict[str, str]:
    return {name.rpartition("/")[2]: value for name, value in hashes.items()}


def versions() -> list[str]:
    """Everything that is installed, as `name==version`."""
    found = set()
    for distribution in metadata.distributions():
        # Two lines of the head; its `metadata` would be parsed from end to end.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        head = text.partition("\n\n")[0]
        fields = dict(re.findall(r"^(Name|Version): *(.*)$", head, re.MULTILINE))
        found.add(f"{fields.get('Name')}=={fields.get('Version')}")
    return sorted(found)


def machine() -> dict[str, str | int]:
    """What the last bits of a result depend on, besides sources, versions and data."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpus": ", ".join(gpus) or "none",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def sources(copy: Path | None = None) -> dict[str, Path]:
    """The sources of the package, or of the copy of it that a run has: name -> file."""
    folder = copy or PACKAGE.parent
    files = (path for path in (copy or PACKAGE).rglob("*.py") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in sorted(files)}


def keep_sources(folder: Path, of_run: Path | None = None) -> dict[str, Any]:
    """Copies the sources of the package into the folder of a run or of an evaluation.

    Args:
        folder: of the run; they go into `sources/` there.
        of_run: folder of the run that is evaluated: only what is not as in its sources is copied.

    Returns:
        What run.json says of them; the two hashes are equal where the sources are the run's.
    """
    now, names = sources(), None
    more: dict[str, Any] = {}
    if of_run:
        names = changed_sources(of_run)
        more["run_sources_sha256"] = sources_hash(sources(of_run / "sources"))
        more["run_sources_gone"] = sorted(set(names) - now.keys())
    copied = copy_sources(folder / "sources", names)
    listed = [[name, f"sources/{name}"] for name in copied]
    return {"sources": listed, "sources_sha256": sources_hash(now), **more}


def copy_sources(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """Copies sources of the package, by their names or all; returns the names."""
    copied = []
    for name, path in sources().items():
        if names is None or name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            copied.append(name)
    return copied


def sources_hash(files: Mapping[str, Path]) -> str:
    """SHA-256 of the names and contents of sources."""
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def changed_sources(run: Path) -> list[str]:
    """Names of the sources that are not what they were when the run in a folder began."""
    then, now = sources(run / "sources"), sources()
    both = then.keys() & now.keys()
    changed = {name for name in both if then[name].read_bytes() != now[name].read_bytes()}
    return sorted(changed | (then.keys() ^ now.keys()))


def git_state(folder: Path) -> list[dict[str, Any]]:
    """Commit of the project's repository and whether its tree was dirty; [] outside of git.

    What is not committed is written into `folder` as `uncommitted.diff`: files above `LARGE` bytes
    as "Binary files differ", and above `DIFF` bytes in all the list of changed files alone.
    """

    def git(*words: str) -> bytes:
        # A file above core.bigFileThreshold is not compared line by line: that takes seconds and
        # many times its size in memory (git-config, "core.bigFileThreshold").
        command = ["git", "-C", str(PACKAGE), "-c", f"core.bigFileThreshold={LARGE}", *words]
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
        if changes:
            diff = git("diff", "HEAD")  # bytes: a diff may have lines in any encoding
            if len(diff) > DIFF:
                head = f"The diff has {len(diff)} bytes, more than {DIFF}: its summary.\n"
                diff = head.encode() + git("diff", "--stat", "HEAD")
            (folder / "uncommitted.diff").write_bytes(diff)
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or no commit yet
        return []
    return [{"commit": commit.decode().strip(), "dirty": bool(changes)}]
