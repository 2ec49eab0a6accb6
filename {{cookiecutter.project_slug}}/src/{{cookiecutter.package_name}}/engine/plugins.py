"""Finds a plug-in by its class name, importing only the file that defines it; and Lightning."""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import inspect
import logging
import re
import sys
import warnings
from functools import cache
from pathlib import Path

from .errors import UserError, unknown
from .other_lightning import lightning_import, other_lightning

PACKAGE = Path(__file__).resolve().parent.parent
_NAME = __package__.rpartition(".")[0]  # of the package, as imports have it
MOVED = {  # module up to 0.4.0 -> since 0.5.0
    "util.experiment": "engine.errors",
    "util.loading": "engine.plugins",
    "util.processes": "engine.processes",
    "util.runs": "engine.runs.finding",
    "util.checkpoints": "engine.runs.checkpoint_file",
    "util.data": "engine.training.loaders",
    "util.compare": "engine.reports.outcome",
}
# Kind of plug-in -> the user's room that it lies in.
ROOMS = {
    "model": "models",
    "dataset": "datasets",
    "evaluator": "evaluators",
    "callback": "callbacks",
}
KEYS = {kind: f"{kind}_name" for kind in ROOMS} | {"callback": "callback_names"}


_PLUG_IN = r"^class ([A-Za-z]\w*)\b(?!.*\bProtocol\b)"


@cache
def source(path: Path) -> ast.Module:
    """The syntax tree of a file: what it defines is known without importing it, or torch."""
    return ast.parse(_text(path), str(path))


def _shown(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _files(room: str) -> list[Path]:
    return [p for p in sorted((PACKAGE / room).rglob("*.py")) if p.name != "__init__.py"]


def _definitions(room: str, name: str) -> tuple[list[Path], list[str]]:
    """The files of a room that define a class, and what is wrong with those that cannot be read.

    Only files with a line that seems to define it are parsed: parsing takes most of the time.
    """
    found, broken = [], []
    for path in _files(room):
        try:
            if not re.search(rf"^class {re.escape(name)}\b", _text(path), re.MULTILINE):
                continue
            nodes = source(path).body
        except (SyntaxError, UnicodeDecodeError, ValueError) as error:
            line = getattr(error, "lineno", None)
            at = f", line {line}" if line else ""
            broken.append(f"{_shown(path)} cannot be read ({error.__class__.__name__}{at})")
            continue
        if any(isinstance(node, ast.ClassDef) and node.name == name for node in nodes):
            found.append(path)
    return found, broken


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def class_names(kind: str) -> set[str]:
    """The names of all plug-ins of a kind, as far as their files can be read.

    Private classes are helpers of plug-ins, and a Protocol is what an evaluator needs.
    """
    names = set()
    for path in _files(ROOMS[kind]):
        with contextlib.suppress(UnicodeDecodeError):
            names |= set(re.findall(_PLUG_IN, _text(path), re.MULTILINE))
    return names


def find(kind: str, name: str) -> Path:
    """The file that defines plug-in `name`; `kind` is a key of `ROOMS`.

    Raises:
        UserError: no file defines it, or two do.
    """
    room, name = ROOMS[kind], str(name)
    found, broken = _definitions(room, name)
    if not found:
        also = "".join(f"; {problem}" for problem in broken)
        raise unknown(f"{KEYS[kind]}: in {room}/, class", name, class_names(kind), also)
    if len(found) > 1:
        files = " and ".join(map(_shown, found))
        raise UserError(f"{KEYS[kind]}: {name!r} is defined in {files}: rename one of them")
    return found[0]


def load(kind: str, name: str) -> type:
    """Imports the one file that defines plug-in `name`, and returns the class.

    Raises:
        UserError: there is no such class, its file fails to import, or it breaks its contract.
    """
    path = find(kind, name)
    module = ".".join((_NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
    try:
        cls: type = getattr(importlib.import_module(module), name)
    except Exception as error:
        frames = [f for f in inspect.trace() if Path(f.filename) == path]
        at = f", line {frames[-1].lineno}" if frames else ""
        raise UserError(
            f"{KEYS[kind]}: {name} cannot be imported from {_shown(path)}{at}: "
            f"{error.__class__.__name__}: {error}{_moved_to(error) or lightning_import(error)}"
        ) from error
    if problem := other_lightning(cls, path):
        raise UserError(f"{KEYS[kind]}: {name} in {_shown(path)}: {problem}")
    bases = _bases(kind)
    if not issubclass(cls, bases):
        known = " or ".join(f"{b.__module__.partition('.')[0]}'s {b.__name__}" for b in bases)
        raise UserError(
            f"{KEYS[kind]}: {name} in {_shown(path)} is no {kind}: it has to be a subclass of "
            f"{known}"
        )
    from .contracts import broken_promise

    if problem := broken_promise(cls):
        raise UserError(f"{KEYS[kind]}: {name} in {_shown(path)}: {problem}")
    return cls


def _moved_to(error: Exception) -> str:
    """Where a module of the machinery lies now that a plug-in looks for in its place of 0.4.0."""
    old = getattr(error, "name", None) or ""
    new = MOVED.get(old.removeprefix(f"{_NAME}."))
    return f"; write `from ..{new} import ...`" if new else ""


def import_lightning() -> None:
    """Imports torch and Lightning, quickly, and without their warnings about healthy runs."""
    if "pytorch_lightning" not in sys.modules:  # a later `gc.freeze` would keep garbage for ever
        gc.disable()  # imports create long-lived objects only: collecting takes a third of the time
        import pytorch_lightning  # noqa: F401

        gc.enable()
        gc.freeze()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",  # for data in memory, workers are slower
        "This DataLoader will create",  # more workers than cores, which still read ahead
        ".*is smaller than the logging interval",
        ".*your dataloader is not resumable",  # ours is, by other means
        ".*LeafSpec",  # Lightning's use of torch, not ours
        ".*could not find the monitored key",  # nothing is validated, so there is no best
        ".*but have no `validation_step`",  # a model without validation
        ".*You requested to overfit",
        "The epoch parameter in .scheduler.step",  # SequentialLR itself passes it, up to torch 2.9
    ):
        warnings.filterwarnings("ignore", message=message)


def _bases(kind: str) -> tuple[type, ...]:
    if kind == "model":
        from pytorch_lightning import LightningModule

        return (LightningModule,)
    if kind == "callback":
        from pytorch_lightning import Callback

        return (Callback,)
    if kind == "dataset":
        from pytorch_lightning import LightningDataModule

        from .contracts import SplitDataset

        return SplitDataset, LightningDataModule
    from .contracts import Evaluator

    return (Evaluator,)
