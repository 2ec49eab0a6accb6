"""Refuses a mistyped `monitor` before the first step, not after the first epoch."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from ..config.checks import listed
from ..config.compose import flat
from ..config.invocation import Invocation
from ..contracts import is_defined_by_user
from ..errors import UserError
from ..plugins import load
from .logged_names import LoggedNames, mistyped
from .train_metrics import new_values


def check_monitor(invocation: Invocation, config: dict[str, Any]) -> None:
    """Refuses a monitor that neither the model nor a callback logs, as far as sources tell.

    A model that validates nothing has no use for the `monitor` of `train_config.py`: it trains
    without one, unless early stopping needs it.

    Raises:
        UserError: names what there is, and the command that would work.
    """
    model = load("model", config["model_name"])
    is_asked = "monitor" in invocation.overrides or config["early_stopping_patience"] is not None
    validates = is_defined_by_user("validation_step", model)
    if invocation.reproduced or not (is_asked or (validates and not invocation.resumed)):
        return
    callbacks = [load("callback", name) for name in listed(config["callback_names"])]
    names = LoggedNames([model, *callbacks])
    if not names.may_have(config["monitor"]):
        raise refusal(command_without_monitor(invocation), config["monitor"], names.known())


def refusal(command: str, monitor: str, known: Iterable[str]) -> UserError:
    """Names the metrics that there are, and the whole command with the nearest of them."""
    known = sorted(known)
    close = difflib.get_close_matches(monitor, known, n=1)
    losses = [name for name in known if "loss" in name and not name.startswith("train")]
    nearest = [*close, *losses, "train_loss"][0]
    hint = f"did you mean {nearest!r}? " if close else ""
    there = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return UserError(
        f"monitor: metric {monitor!r} is unknown: {hint}there are {there}: type "
        f"`{command} {shlex.quote(f'monitor={nearest}')}`"
    )


def command_without_monitor(invocation: Invocation) -> str:
    """The command that was typed, to which another monitor can be added."""
    words = invocation.experiment.words
    if words is None:  # called from Python
        words = ["with", *(f"{key}={value}" for key, value in flat(invocation.overrides).items())]
    words = [word for word in words if not word.startswith("monitor=")]
    if "with" not in words:
        words.append("with")
    return shlex.join([invocation.experiment.path, *words])


class MonitorExists(Callback):
    """Holds the monitor against what Lightning's sanity check of validation has logged.

    Sources do not tell all names. One that they do tell may be logged by a real validation only.

    Args:
        monitor: its name.
        command: that was typed, without the monitor.

    Raises:
        UserError: from the hook; names the metrics that there are.
    """

    def __init__(self, monitor: str, command: str):
        self.monitor, self.command = monitor, command
        self.logged: set[str] = set()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            self.logged |= {*new_values(trainer)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.logged or self.monitor in self.logged:
            return
        first = {_first_word(name) for name in self.logged}
        if _first_word(self.monitor) in first or mistyped(self.monitor, self.logged):
            used = [type(callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]
            if not LoggedNames([type(pl_module), *used]).has(self.monitor):
                raise refusal(self.command, self.monitor, {*self.logged, "train_loss"})


def _first_word(name: str) -> str:
    return re.split(r"[^A-Za-z0-9]", name)[0]
