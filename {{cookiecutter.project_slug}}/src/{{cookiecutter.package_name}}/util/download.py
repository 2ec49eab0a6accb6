"""Fetches files so that a half-written, corrupt or unwanted one is never taken for the data."""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

TIMEOUT_S = 10.0  # without a byte; then the next mirror has its turn
PATIENCE_S = 4.0  # for any mirror to answer at all, where there is something to fall back on


def answers(urls: Sequence[str], within_s: float = PATIENCE_S) -> bool:
    """Whether any of the addresses answers in time; a dead resolver costs no more than that."""
    found, left = threading.Event(), threading.Semaphore(0)

    def ask(url):
        try:
            head = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(head, timeout=within_s):
                found.set()
        except (OSError, ValueError):
            pass
        left.release()

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    for _ in urls:  # as soon as one has answered or all have failed
        if found.is_set() or not left.acquire(timeout=within_s):
            break
    return found.is_set()


def fetch(urls: Sequence[str], path: Path, md5: str) -> None:
    """Downloads the file `path` from the first mirror that has it whole, unless it is there.

    Written under another name in the same folder, checked, and then renamed. Of several processes
    that want the same file one downloads and the others wait.

    Raises:
        ConnectionError: no mirror delivered; says what each one did instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        failures = []
        for url in () if path.exists() else urls:
            try:
                return _fetch(url, path, md5)
            except (OSError, ValueError) as error:
                failures.append(f"{url}: {error}")
    if failures:
        raise ConnectionError(f"{path.name} could not be fetched ({'; '.join(failures)})")


def _fetch(url: str, path: Path, md5: str) -> None:
    part = path.with_name(f"{path.name}.part")  # nobody else's: the lock is held
    try:
        with (
            part.open("wb") as file,
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer,
            tqdm(
                total=int(answer.headers.get("Content-Length") or 0) or None,
                desc=path.name,
                unit="B",
                unit_scale=True,
                disable=None,  # not in a log file
            ) as bar,
        ):
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := answer.read(1 << 16):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != md5:
            raise ValueError(f"not the whole file, or another one (MD5 {digest.hexdigest()})")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
