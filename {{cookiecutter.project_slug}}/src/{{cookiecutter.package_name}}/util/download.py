"""Fetches files so that a half-written, corrupt or unwanted one is never taken for the data."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from tqdm import tqdm

from ..engine.processes import say

TIMEOUT_S = 10.0  # without a byte; then the next mirror has its turn
SLOW_B_S = 10_000  # bytes a second: a mirror that delivers less than that ...
SLOW_S = 20.0  # ... for so long gives its turn to the next
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


def fetch(urls: Sequence[str], path: Path, md5: str, at_most: int = 2**30) -> None:
    """Downloads the file `path` from the first mirror that has it whole, unless it is there.

    Written under another name in the same folder, checked, and then renamed. Of several processes
    that want the same file one downloads and the others wait.

    Args:
        urls: addresses of the file, the best first.
        path: where it is to lie.
        md5: of the whole file, in hexadecimal.
        at_most: bytes; a mirror that sends more sends something else.

    Raises:
        ConnectionError: no mirror delivered; says what each one did instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        failures = []
        for url in () if path.exists() else urls:
            try:
                return _fetch(url, path, md5, at_most)
            except (OSError, ValueError, HTTPException) as error:
                said = " ".join(str(error).split()) or type(error).__name__
                failures.append(f"{url}: {said}")
    if failures:
        raise ConnectionError(f"{path.name} could not be fetched ({'; '.join(failures)})")


def check(path: Path, md5: str) -> None:
    """Looks whether a file that lies there is the one that a mirror would have sent.

    Raises:
        ValueError: it is another one, or a part.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != md5:
        raise ValueError(
            f"{path} is not the official file (MD5 {digest.hexdigest()}, not {md5}): move it "
            "away, and it is fetched"
        )


def _fetch(url: str, path: Path, md5: str, at_most: int) -> None:
    part = path.with_name(f"{path.name}.part")  # nobody else's: the lock is held
    try:
        with (
            part.open("wb") as file,
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer,
        ):
            size = int(answer.headers.get("Content-Length") or 0)
            amount = f" {size / 1e6:.1f} MB" if size else ""
            say(f"fetch  {path.name} from {urlsplit(url).hostname}{amount}")
            digest = hashlib.md5(usedforsecurity=False)
            with tqdm(
                total=size or None,
                desc=path.name,
                unit="B",
                unit_scale=True,
                disable=None,  # not in a log file
            ) as bar:
                began, received, window = time.monotonic(), 0, 0
                # Not `read`: it waits for all, and a mirror that drips never times out.
                while chunk := answer.read1(1 << 16):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
                    received, window = received + len(chunk), window + len(chunk)
                    if received > at_most:
                        raise ValueError(f"sends more than the {at_most:,} bytes that it may have")
                    if (passed := time.monotonic() - began) >= SLOW_S:
                        if window < SLOW_B_S * passed:
                            raise ValueError(f"sends {window / passed:,.0f} bytes a second only")
                        began, window = time.monotonic(), 0
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != md5:
            raise ValueError(f"not the whole file, or another one (MD5 {digest.hexdigest()})")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
