"""What a run prints, in its folder, as it comes."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import TextIO

from ..terminal import Stream


class Output:
    """Copies stdout and stderr into a file, as a terminal would show them.

    sacred's own capture hands the output over with heartbeats only (0.8.7, `Run._emit_heartbeat`):
    a kill would lose the last ten seconds, which say why. Like its mode "sys", this sees what goes
    through `sys.stdout` and `sys.stderr`; the terminal gets each character as before.

    Args:
        path: the file, which is appended to.

    Attributes:
        problem: why the file could not be written, or None.
    """

    def __init__(self, path: Path):
        self.problem: OSError | None = None
        self._file = path.open("ab+", buffering=0)
        self._process = os.getpid()
        self._lock = threading.RLock()  # a signal's handler may print while we are printing
        self._line = _Line()
        self._written = ""  # of the current line
        self._line_starts_at = self._file.seek(0, os.SEEK_END)
        if self._line_starts_at:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":  # a process before this one was killed
                self._append("\n")
                self._line_starts_at += 1

    def start(self) -> None:
        """Begins to copy."""
        for name in ("stdout", "stderr"):
            if stream := getattr(sys, name):
                setattr(sys, name, _Tee(stream, self))

    def stop(self) -> None:
        """Ends it; whoever still holds one of the two streams can go on printing to it."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, _Tee) and stream.output is self:
                setattr(sys, name, stream.stream)
        with self._lock:
            self._file.close()

    def write(self, text: str) -> None:
        """Copies some text; a full disk does not end the run, see `problem`."""
        # A forked worker shares the file, but not where its last line starts.
        if os.getpid() != self._process:
            return
        with self._lock:
            if self._file.closed:
                return
            finished = self._line.feed(text)
            lines = finished + self._line.text
            try:
                if not lines.startswith(self._written):
                    self._file.truncate(self._line_starts_at)
                    self._written = ""
                self._append(lines[len(self._written) :])
            except OSError as error:
                self.problem = error
            self._line_starts_at += len(_encoded(finished))
            self._written = self._line.text

    def _append(self, text: str) -> None:
        self._file.write(_encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


class _Line:
    """The last line on a terminal: a carriage return or backspace lets text be overwritten."""

    def __init__(self) -> None:
        self.text, self.cursor = "", 0

    def feed(self, text: str) -> str:
        """Prints some text; returns the lines that it has finished."""
        finished = []
        for part in re.split(r"([\n\r\b])", text):
            if part == "\n":
                finished.append(f"{self.text}\n")
                self.text, self.cursor = "", 0
            elif part == "\r":
                self.cursor = 0
            elif part == "\b":
                self.cursor = max(0, self.cursor - 1)
            elif part:
                end = self.cursor + len(part)
                self.text = self.text[: self.cursor] + part + self.text[end:]
                self.cursor = end
        return "".join(finished)


class _Tee(Stream):
    """A stream that is copied."""

    def __init__(self, stream: TextIO, output: Output):
        super().__init__(stream)
        self.output = output

    def write(self, text: str) -> int:
        count = super().write(text)
        self.output.write(text)
        return count
