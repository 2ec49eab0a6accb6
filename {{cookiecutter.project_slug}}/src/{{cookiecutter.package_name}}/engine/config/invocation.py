"""One call of a command: its resolved configuration, and the decisions made from it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class Invocation:
    """One call of a command, from the words typed to what is known before it runs.

    Attributes:
        experiment: whose command it is.
        command: its name.
        function: behind the command; its signature is the schema of the command's configuration.
        is_default: whether it is `train` or `evaluate` itself, or one of sacred's commands, which
            show the configuration of these.
        defaults: what the `*_config.py` says.
        overrides: what presets, files and the command line say, in this order, as one.
        config: the resolved configuration: defaults and overrides.
        is_stored: whether the run gets a folder; the same on every rank.
        resumed: the run that goes on (a runs.resume.Resumed), or None.
        reproduced: the stored run that is trained again (a runs.stored.Run), or None.
        evaluated: the stored run that is evaluated (a runs.stored.Run), or None.
    """

    experiment: Any
    command: str
    function: Callable[..., Any]
    is_default: bool
    defaults: dict[str, Any]
    overrides: dict[str, Any]
    config: dict[str, Any]
    is_stored: bool = True
    resumed: Any = None
    reproduced: Any = None
    evaluated: Any = None


_CURRENT: ContextVar[Invocation] = ContextVar("invocation")

# The command that is running; `evaluate with runs=all` runs others within its own.
current, enter, leave = _CURRENT.get, _CURRENT.set, _CURRENT.reset
