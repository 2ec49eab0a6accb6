"""What is printed goes to a terminal, pipe or file that may be gone before the command ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO


class Stream:
    """Stands for stdout or stderr; what a subclass does not do (`isatty`, ...) is the stream's own.

    Args:
        stream: that is stood for.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Terminal(Stream):
    """A stream whose other end may go: a closed terminal, `| head`, a full disk.

    From then on nothing is shown, and the command goes on: what a run prints is in its folder
    as well.
    """

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Sends the rest to nowhere: Python flushes what it still has when it ends, and fails."""
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """For as long as a command runs, its output may go nowhere without ending it."""
    names = [name for name in ("stdout", "stderr") if getattr(sys, name) is not None]
    before = {name: getattr(sys, name) for name in names}
    for name, stream in before.items():
        setattr(sys, name, Terminal(stream))
    try:
        yield
    finally:
        for name, stream in before.items():
            Terminal(stream).flush()
            setattr(sys, name, stream)
