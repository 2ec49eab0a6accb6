"""Everything of sacred that has no public way, and the only place where sacred is imported.

Each use says which function of sacred relies on it, why, and when it can go. Tried with sacred
0.8.7, the newest release since November 2024, on Python 3.10 to 3.14. The template's
`tests/test_sacred_internals.py` names each private name and fails when a release drops it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import os
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import Interrupted, UserError, refusals, show_bug
from ..terminal import lasting
from .plain_values import flattened, is_group, normalized
from .stand_ins import importing

# `datetime.utcnow` in sacred/run.py, sacred/metrics_logger.py (deprecated since Python 3.12) and
# `pkgutil.find_loader` (up to 3.13) tell the user of this project nothing.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="sacred")
with importing():
    import sacred.experiment
    from docopt import DocoptExit
    from sacred import SETTINGS, Experiment, arg_parser, commands, utils
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


def _typed_value(text: str) -> Any:
    """A literal of Python, else text. `1,2` stays text until it is known what it is typed for.

    Stands in for `sacred.arg_parser._convert_value`, which makes a tuple of that, and passes each
    value through jsonpickle: that builds objects and calls functions ({"py/reduce": ...}).
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):  # TypeError: a list for a key
        return text
    return text if isinstance(value, tuple) and not text.lstrip().startswith("(") else value


arg_parser._convert_value = _typed_value


def parse_updates(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What follows `with`, as sacred reads it: KEY=VALUE nested, and names of presets and files."""
    updates: tuple[dict[str, Any], list[str]] = arg_parser.get_config_updates(words)
    return updates


def use_colours(wanted: bool) -> None:
    """Lets sacred's commands colour what they print, or not: they do so into files as well.

    `print_named_configs` and `print_dependencies` of `sacred.commands` read these names of their
    module. Can go with a release that asks `isatty` and NO_COLOR.
    """
    for name, colour in _COLOURS.items():
        setattr(commands, name, colour if wanted else "")


_COLOURS = {name: getattr(commands, name) for name in ("COLOR_DIRTY", "COLOR_DOC", "ENDC")}

# `Experiment.run_commandline` prints tracebacks with it. sacred's own filter (`_filter_tb` in
# sacred/utils.py) fails where a cause or context was never raised, as those are which a process
# pool hands over: it then shows an IndexError of its own. Can go when that is mended.
sacred.experiment.print_filtered_stacktrace = functools.partial(show_bug, hidden="sacred")


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


def _give_numbers(observer: Any) -> None:
    """Makes the result a number for sacred's SqlObserver, whose column for it holds no other.

    Our commands return several metrics: it gets the first of those that name the best score, or
    else the first. `SqlObserver.save` (sacred/observers/sql.py) fails for a dict.
    """
    for name in ("heartbeat_event", "completed_event"):
        event = getattr(observer, name)

        def with_number(*args: Any, event: Any = event, result: Any = None, **kwargs: Any) -> None:
            if isinstance(result, dict):
                names = sorted(result, key=lambda key: not key.startswith("best_"))
                result = next((float(result[key]) for key in names), None)
            event(*args, result=result, **kwargs)

        setattr(observer, name, with_number)


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
            with lasting():
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
        for observer in run.observers:
            if type(observer).__name__ == "SqlObserver":
                _give_numbers(observer)
        sacreds = [o for o in run.observers if type(o).__module__.startswith("sacred.")]
        if run.capture_mode is None and sacreds:
            run.capture_mode = "sys"  # "fd" turns the terminal into a pipe: no bar, lost lines
        return run
