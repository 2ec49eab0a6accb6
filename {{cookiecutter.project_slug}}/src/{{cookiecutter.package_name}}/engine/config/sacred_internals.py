"""Everything of sacred that has no public way, and the only place where sacred is imported.

Each use says which function of sacred relies on it, why, and when it can go. Tried with sacred
0.8.7, the newest release since November 2024, on Python 3.10 to 3.14. The template's
`tests/test_sacred_internals.py` names each private name and fails when a release drops it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import inspect
import os
import pkgutil
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata, resources
from typing import Any

from ..errors import Interrupted, UserError, refusals
from .plain_values import flattened, is_group, normalized


def _find_loader(name: str) -> object:
    """Stands in for `pkgutil.find_loader`, which Python 3.14 no longer has.

    Relies on it: `sacred.utils.module_exists`, while `sacred.optional` is imported. Can go with a
    release that calls `importlib.util.find_spec`.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: the module is loaded, its `__spec__` is None
        return None
    return spec and spec.loader


class _WorkingSet:
    """Stands in for `pkg_resources.working_set`: installed distributions, read when asked for.

    Relies on it: `get_dependencies_from_pkg` and `PackageDependency` of sacred/dependencies.py.
    """

    def __iter__(self) -> Iterator[Any]:
        for found in metadata.distributions():
            yield types.SimpleNamespace(project_name=found.name, version=found.version)

    @property
    def by_key(self) -> _WorkingSet:  # reading all for each would take 0.1 s of each command
        return self

    def get(self, name: str) -> Any:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return types.SimpleNamespace(version=metadata.version(name))


def _pkg_resources() -> types.ModuleType:
    """Stands in for `pkg_resources`, which setuptools 82 no longer has.

    Relies on it: `sacred/dependencies.py` and `sacred/observers/mongo.py`, which import it at
    their top. It is used where there is a real one, too: importing that takes 0.08 of the 0.2 s
    of `import sacred` (medians of 6, 2026-11) and prints a notice of deprecation. Can go with a
    release that reads `importlib.metadata` (IDSIA/sacred#945).
    """
    module = types.ModuleType("pkg_resources", "Stand-in for sacred 0.8.7 alone.")
    vars(module)["working_set"] = _WorkingSet()
    vars(module)["resource_filename"] = lambda package, name: str(resources.files(package) / name)
    return module


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Lends sacred what it imports, and takes it away: others find the real modules, or none.

    pandas is hidden: `sacred.optional` imports it wherever it is installed (0.13 s), to write data
    frames into a record. A configuration here is text and numbers. No garbage is collected:
    imports create long-lived objects only, and later collections pass over them.
    """
    lent: dict[str, Any] = {"pkg_resources": _pkg_resources(), "pandas": None}  # None: no module
    lent = {name: module for name, module in lent.items() if name not in sys.modules}
    sys.modules.update(lent)
    lacks_loader, collects = not hasattr(pkgutil, "find_loader"), gc.isenabled()
    if lacks_loader:
        vars(pkgutil)["find_loader"] = _find_loader
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        gc.freeze()
        if lacks_loader:
            del vars(pkgutil)["find_loader"]
        for name in lent:
            del sys.modules[name]


# `datetime.utcnow` in sacred/run.py, sacred/metrics_logger.py (deprecated since Python 3.12) and
# `pkgutil.find_loader` (up to 3.13) tell the user of this project nothing.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="sacred")
with _importing():
    from docopt import DocoptExit
    from sacred import SETTINGS, Experiment, arg_parser, utils
    from sacred.config import ConfigDict as ConfigDict  # "as": a re-export, for mypy
    from sacred.config import ConfigScope as ConfigScope
    from sacred.config import config_dict, config_scope
    from sacred.config import utils as config_utils
    from sacred.dependencies import PackageDependency
    from sacred.observers import RunObserver as RunObserver
    from sacred.run import Run
    from sacred.serializer import flatten
    from sacred.utils import SacredInterrupt, apply_backspaces_and_linefeeds

# Where this is empty, `PackageDependency.create` reads all distributions, and finds nothing.
PackageDependency.modname_to_dist["sacred"] = ("sacred", None)
SETTINGS.CAPTURE_MODE = "no"  # `runs/folder.py` writes the output as it comes, not at heartbeats
SETTINGS.CONFIG.READ_ONLY_CONFIG = False  # a read-only dict in a checkpoint cannot be loaded again
SETTINGS.DISCOVER_SOURCES = "none"  # `runs/folder.py` stores sources and versions, and only when
SETTINGS.DISCOVER_DEPENDENCIES = "none"  # a run starts: sacred does it while the package imports


def spare_guesses(summary: Any) -> dict[str, Any]:
    """Takes additions and changes of type out of what a `ConfigScope` returns: we check them.

    `sacred.initialize.create_run` raises ConfigAddedError for `ConfigSummary.added` where a
    command takes `_config`, and warns of `typechanged`; both know nothing of the signatures that
    a group feeds. Neither attribute is documented. Can go with a setting that turns these off.
    """
    summary.modified |= summary.added
    summary.added, summary.typechanged = set(), {}
    spared: dict[str, Any] = summary
    return spared


def as_json(content: object) -> Any:
    """What `json.dump` can write of an object, in sacred's form (tuples, times: by jsonpickle).

    `sacred.serializer.flatten` is not documented; runs of all versions are to read alike.
    """
    return flatten(content)


def _fixed(value: Any, dogmatize: Callable[[Any], Any] = config_utils.dogmatize) -> Any:
    return dogmatize(value) if not isinstance(value, dict) or is_group(value) else value


# `ConfigScope.__call__` and `ConfigDict` make lists of all tuples (`normalize_or_die`), and fail at
# keys that are no text (`DogmaticDict.revelation`), of which `convert_to_nested_dict`, in
# `create_run`, makes text (`iterate_flattened`). Can go with a release that keeps both.
for _module in (config_utils, config_dict, config_scope):
    vars(_module).update(normalize_or_die=normalized, dogmatize=_fixed)
vars(utils)["iterate_flattened"] = flattened

# `sacred.arg_parser._convert_value` passes each value that it has parsed through jsonpickle, which
# builds objects and calls functions ({"py/reduce": ...}). A value is what was typed, nothing more.
arg_parser.restore = lambda value: value


def option_refusals() -> contextlib.AbstractContextManager[None]:
    """Turns what sacred's own options say against their values (`-P abc`) into one line.

    `sacred/commandline_options.py` raises plain ValueErrors and RuntimeErrors: what tells them
    from bugs is the file that raises them. Can go when they are SacredErrors.
    """
    path = os.path.join("sacred", "commandline_options.py")
    return refusals("option", (ValueError, RuntimeError), raised_in=path)


class _PastSacred(BaseException):
    """Carries a refusal through `Experiment.run_commandline`, to whose caller it belongs.

    sacred catches each Exception there: a SacredError is printed as sacred likes it, any other
    with a traceback. A UserError is no SacredError, since making one must not import sacred.
    """

    def __init__(self, refusal: UserError):
        self.refusal = refusal


class _RecordedInterrupt(Interrupted, SacredInterrupt):
    """An `Interrupted` that `sacred.run.Run.__call__` records as INTERRUPTED, and not as FAILED."""


# What is printed of it is the name of the class that it stands for.
_RecordedInterrupt.__name__ = _RecordedInterrupt.__qualname__ = Interrupted.__name__
_RecordedInterrupt.__module__ = Interrupted.__module__


def _interruptible(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a command end by `Interrupted`.

    `sacred.run.Run.__call__` knows SacredInterrupt ("custom interrupts" in its documentation) and
    KeyboardInterrupt. `wraps` keeps `prefix` and `signature`, which `Run._emit_started` reads.
    """

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Interrupted as interrupt:
            trace = interrupt.__traceback__
            raise _RecordedInterrupt(str(interrupt)).with_traceback(trace) from None

    return command


class TerminalExperiment(Experiment):
    """A sacred experiment as a person at the terminal wants it: refusals are one line.

    Subclasses override `run_checked`, `refuse_command` and `misunderstood`.
    """

    _from_terminal = False

    @classmethod
    def make(cls, name: str, base_dir: str, doc: str) -> TerminalExperiment:
        """An experiment whose records and messages are ours.

        `sacred.experiment.Experiment.__init__` asks `inspect.stack` for the globals of its caller
        (entry 1), which reads the source of every frame: a quarter of `train help`. For as long
        as it does, `inspect.stack` answers that one question.
        """
        everything, caller = inspect.stack, types.SimpleNamespace(f_globals=globals())
        vars(inspect)["stack"] = lambda: [None, (caller,)]
        try:
            ex = cls(name, base_dir=base_dir, save_git_info=False)
        finally:
            inspect.stack = everything
        ex.doc = doc
        # For other observers (`-F`), and documented; `runs/folder.py` has its own.
        ex.captured_out_filter = apply_backspaces_and_linefeeds
        return ex

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What sacred's `run_commandline` calls, and `evaluate runs=all` for each of its runs."""
        from_terminal, self._from_terminal = self._from_terminal, False
        try:
            return self.run_checked(*args, **kwargs)
        except UserError as refusal:
            if from_terminal:
                raise _PastSacred(refusal) from None
            raise

    def run_checked(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        **kwargs: Any,
    ) -> Any:
        """As sacred's `run`."""
        return super().run(command_name, config_updates, named_configs, **kwargs)

    def run_commandline(self, argv: Sequence[str] | None = None) -> Any:
        argv = [str(word) for word in (sys.argv if argv is None else argv)]
        self._from_terminal = True
        try:
            return super().run_commandline(argv)
        except DocoptExit:  # by docopt-ng, with a usage of a program "dummy"
            error = self.misunderstood(argv[1:])
        except _PastSacred as carrier:
            error = carrier.refusal
        except UserError as refusal:
            error = refusal
        finally:
            self._from_terminal = False
        sys.exit(f"{type(error).__name__}: {error}")

    def misunderstood(self, words: list[str]) -> UserError:
        """The refusal of words that are no command, option or `with ...`."""
        return UserError(f"{' '.join(words)!r} is not understood")

    def refuse_command(self, name: str | None) -> None:
        """Raises a UserError if this is no command."""

    def _check_command(self, cmd_name: str | None) -> None:
        # `Experiment.run_commandline` calls it before all else; sacred's prints the whole usage.
        self.refuse_command(cmd_name)

    def get_usage(self, program_name: str | None = None) -> Any:
        # `Experiment.get_usage` shows a path relative to `base_dir`: makes that the command.
        return super().get_usage(os.path.join(self.base_dir, self.path))

    def _create_run(self, *args: Any, **kwargs: Any) -> Run:
        # `Experiment.run` calls it before `Run.__call__`: the only place between the two.
        run = super()._create_run(*args, **kwargs)
        run.main_function = _interruptible(run.main_function)
        sacreds = [o for o in run.observers if type(o).__module__.startswith("sacred.")]
        if run.capture_mode is None and sacreds:
            run.capture_mode = "sys"  # "fd" turns the terminal into a pipe: no bar, lost lines
        return run
