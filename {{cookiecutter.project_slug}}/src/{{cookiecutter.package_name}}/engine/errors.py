"""How the project says no: one line for a person's mistake, a traceback for a bug."""

from __future__ import annotations

import contextlib
import difflib
import sys
import traceback
from collections.abc import Iterable, Iterator


def printable(text: str) -> str:
    """The text with its control characters spelled out: none of them moves a terminal's cursor."""
    return "\n".join(
        line if line.isprintable() else _spelled_out(line) for line in text.split("\n")
    )


def _spelled_out(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)


class UserError(Exception):
    """A mistake of the person at the terminal: shown as one line, with no traceback."""

    __module__ = "builtins"  # tracebacks and run.json show the name without a module's path

    def __init__(self, message: object):
        super().__init__(printable(" ".join(str(message).split())))


class Interrupted(UserError):  # noqa: N818 (no error)
    """Ctrl-C or SIGTERM: the run is recorded as INTERRUPTED; exit status 1."""

    __module__ = "builtins"


def unknown(what: str, name: str, known: Iterable[str], also: str = "") -> UserError:
    """The refusal of a name, with the nearest match or else with everything there is."""
    known = sorted(known)
    near = {key.lower(): key for key in known}
    close = difflib.get_close_matches(name.lower(), near, n=1)
    if not close:  # `learning_rat` is near `model_args.learning_rate` only in its last part
        near = {key.lower().rpartition(".")[2]: key for key in reversed(known)}
        close = difflib.get_close_matches(name.lower().rpartition(".")[2], near, n=1)
    if close:
        hint = f"did you mean {near[close[0]]!r}?"
    else:
        hint = f"there are: {', '.join(known)}" if known else "there are none"
    return UserError(f"{what} {name!r} is unknown: {hint}{also}")


# What a constructor raises for an argument that it cannot use. Others look like bugs.
REFUSALS = (ValueError, RuntimeError, ArithmeticError, AssertionError, OSError)


@contextlib.contextmanager
def refusals(
    what: str, kinds: tuple[type[Exception], ...] = REFUSALS, raised_in: str = ""
) -> Iterator[None]:
    """Turns what a class says against its arguments into one line, in the class's own words.

    Args:
        what: group of the configuration, for the head of the line.
        kinds: exceptions that are refusals; any other is a bug and keeps its traceback.
        raised_in: part of a path: only what is raised in such a file counts.

    Raises:
        UserError: in place of an exception of these kinds.
    """
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        if raised_in not in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        raise UserError(f"{what}: {error}") from error


def show_bug(hidden: str) -> None:
    """Prints the traceback of the exception that is being handled, and of what led to it.

    Args:
        hidden: package whose frames say nothing; they are left out unless the bug is its own.
    """
    shown = traceback.TracebackException(*sys.exc_info())
    folder, pending = f"/{hidden}/", [shown]
    while pending:
        part = pending.pop()
        frames = part.stack
        if frames and folder not in frames[-1].filename.replace("\\", "/"):
            kept = [f for f in frames if folder not in f.filename.replace("\\", "/")]
            part.stack = traceback.StackSummary.from_list(kept)
        causes = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        pending += [cause for cause in causes if cause is not None]
    print("".join(shown.format()), end="", file=sys.stderr)
