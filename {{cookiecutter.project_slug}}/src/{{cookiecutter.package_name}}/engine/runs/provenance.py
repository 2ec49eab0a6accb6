"""Where a result came from: data, versions, machine, sources and commit."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from ..plugins import PACKAGE

WHOLE = 1 << 30  # bytes up to which a file is hashed as a whole
PIECE = 1 << 20
LARGE = 1 << 20  # bytes of a file above which its changes are not recorded line by line
DIFF = 10 << 20  # bytes of a diff above which its summary is recorded


def fingerprint(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name; of files above 1 GiB, of their size and 64 pieces."""
    hashes = {}
    for path in files:
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
        hashes[path.name] = digest.hexdigest()
    return hashes


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


def copy_sources(folder: Path) -> list[str]:
    """Copies all sources of the package; returns their names relative to `folder`."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE.parent)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        names.append(name.as_posix())
    return names


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
