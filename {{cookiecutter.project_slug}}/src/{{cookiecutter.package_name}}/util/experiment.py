"""What `train` and `evaluate` share: a sacred experiment that is quick, strict and safe in DDP.

sacred's own answer to a mistyped override is a warning, a traceback or silence. Here every
override is held against the signature that it feeds before anything is imported or written.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

# sacred imports pkg_resources, whose notice tells the user of this project nothing.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="sacred")
gc.disable()  # which only takes time while classes and functions are made
from docopt import DocoptExit  # noqa: E402
from sacred import SETTINGS, Experiment  # noqa: E402
from sacred.config.config_dict import ConfigDict  # noqa: E402
from sacred.config.config_files import load_config_file  # noqa: E402
from sacred.config.config_scope import ConfigScope  # noqa: E402
from sacred.utils import (  # noqa: E402
    SacredError,
    SacredInterrupt,
    apply_backspaces_and_linefeeds,
    iterate_flattened,
)

from .processes import rank  # noqa: E402

gc.enable()
gc.freeze()  # nor does it need to look there again
PACKAGE = Path(__file__).resolve().parent.parent

SETTINGS.CAPTURE_MODE = "sys"  # "fd" turns the terminal into a pipe: no progress bar, lost lines
SETTINGS.CONFIG.READ_ONLY_CONFIG = False  # a read-only dict in a checkpoint cannot be loaded again
SETTINGS.DISCOVER_SOURCES = "none"  # runs.py stores the sources when a run starts, and only then
SETTINGS.DISCOVER_DEPENDENCIES = "none"  # likewise the versions


class UserError(SacredError):
    """A mistake of the person at the terminal: shown as one line, with no traceback."""

    __module__ = "builtins"  # so that sacred prints the name without the module's path

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()), print_traceback=False)


class Interrupted(UserError, SacredInterrupt):  # noqa: N818 (no error)
    """Ctrl-C or SIGTERM: sacred records the run as INTERRUPTED; exit status 1."""

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


# What a constructor raises of an argument that it cannot use. Others look like bugs.
REFUSALS = (ValueError, RuntimeError, ArithmeticError, AssertionError, OSError)


@contextlib.contextmanager
def refusals(what: str, kinds: tuple[type[Exception], ...] = REFUSALS, raised_in: str = ""):
    """Turns what a class says against its arguments into one line, in the class's own words.

    Args:
        what: group of the configuration, for the head of the line.
        kinds: exceptions that are refusals; any other is a bug and keeps its traceback.
        raised_in: part of a path: only what is raised in such a file counts.
    """
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        if raised_in not in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        raise UserError(f"{what}: {error}") from error


def to_dict(cls: type) -> dict:
    """Makes a group of the configuration from a class body: `@to_dict class model_args: ...`."""
    return {key: value for key, value in vars(cls).items() if not key.startswith("__")}


class _Scope(ConfigScope):
    """The configuration function of a `*_config.py`, composed with what the user asked for.

    Attributes:
        stored: a run's configuration, which replaces that of the file; None: the file's.
    """

    stored: dict | None = None

    @cached_property
    def defaults(self) -> dict:
        """What the file says."""
        return super().__call__()

    def __call__(self, fixed=None, preset=None, fallback=None):
        defaults = copy.deepcopy(self.defaults)
        if self.stored is None:
            summary = super().__call__(fixed, preset, fallback)
        else:  # what the file has learnt since the run began has its default
            defaults = {key: self.stored.get(key, value) for key, value in defaults.items()}
            summary = ConfigDict(defaults)(fixed, preset, fallback)
        asked = fixed or {}
        for name in [key for key in asked if key.endswith("_name")]:
            group = name.removesuffix("_name") + "_args"
            if group in defaults and asked[name] != defaults[name]:
                # Another plug-in: the arguments that the file sets are not meant for it.
                summary[group] = asked.get(group, {})
        # Additions and changes of type are judged by the checks, not by sacred's guesses.
        summary.modified |= summary.added
        summary.added, summary.typechanged = set(), {}
        return summary


class StrictExperiment(Experiment):
    """A sacred experiment whose refusals are one line and whose help is readable.

    Attributes:
        stored: whether the run has a folder; on every rank what rank zero says.
        basis: called with command and overrides; returns the configuration of a stored run that
            they start from, or None.
        asked: the overrides of the command line.
    """

    stored = True

    def basis(self, command: str, asked: dict) -> dict | None:
        return None

    def config(self, function: Callable) -> _Scope:
        self.configurations.append(_Scope(function))
        return self.configurations[-1]

    def get_usage(self, program_name=None):
        return super().get_usage(os.path.join(self.base_dir, self.path))

    def run_commandline(self, argv=None):
        argv = [str(word) for word in (sys.argv if argv is None else argv)]
        try:
            return super().run_commandline(argv)
        except DocoptExit:
            known = {flag for option in self.all_cli_options for flag in option.get_flags()}
            words = [word.partition("=")[0] for word in argv[1:] if word.startswith("-")]
            stray = [word for word in words if word not in known]
            said = f"`{' '.join([self.path, *argv[1:]])}` is not understood"
            said = unknown("option", stray[0], known) if stray else said
            error = UserError(f"{said} (see `{self.path} help`)")
        except UserError as refusal:
            error = refusal
        sys.exit(f"{type(error).__name__}: {error}")

    def _check_command(self, cmd_name):
        commands = dict(self.gather_commands())
        if cmd_name is not None and "=" in cmd_name:
            raise UserError(f"{cmd_name!r} is no command: write `{self.path} with {cmd_name} ...`")
        if cmd_name == "with":
            raise UserError("nothing follows `with`: write KEY=VALUE, or the name of a preset")
        if cmd_name not in commands:
            raise unknown("command", str(cmd_name), {*commands, "help"})

    def run(self, command_name=None, config_updates=None, named_configs=(), *args, **kwargs):
        for name in [name for name in named_configs if name not in self.named_configs]:
            if not os.path.isfile(name):
                keys = dict(iterate_flattened(self.configurations[0].defaults))
                if name in keys:
                    raise UserError(f"{name!r} has no value: write {name}=VALUE, without spaces")
                also = "; there are presets, files, and KEY=VALUE without spaces"
                raise unknown("preset", name, {*self.named_configs, *keys} - {"__doc__"}, also)
            with refusals(name, (ValueError, OSError)):
                load_config_file(name)
        if "" in (config_updates or {}):
            raise UserError("'=' stands alone: write KEY=VALUE, without spaces")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _interrupt)
            # Which a shell script lets the processes ignore that it starts in the background.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.asked = dict(config_updates or {})
        scope = self.configurations[0]
        in_options = os.path.join("sacred", "commandline_options.py")
        try:
            with refusals("option", (ValueError, RuntimeError), raised_in=in_options):
                scope.stored = self.basis(command_name, self.asked)
                run = super().run(command_name, self.asked, named_configs, *args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted(f"{self.path} was stopped") from None
        except Interrupted:
            if rank() > 0:
                sys.exit()  # rank zero says it; Lightning takes any other status for a crash
            raise
        finally:
            scope.stored = None
        for problem in filter(None, (getattr(o, "problem", None) for o in run.observers)):
            raise UserError(f"the record of the run could not be written: {problem}")
        return run


def _interrupt(signum, frame):
    # Lightning, once it has taken over, calls this as well: it stops between two batches.
    if signal.getsignal(signal.SIGTERM) is _interrupt:
        raise KeyboardInterrupt


class _OwnWords(logging.Filter):
    """Drops sacred's messages about what the error line or the run's folder says better."""

    def filter(self, record):
        return not record.getMessage().startswith(("Failed", "Aborted", "No observers have"))


def make_experiment(name: str, doc: str) -> StrictExperiment:
    """An experiment that observes on rank zero only and speaks when there is something to say."""
    everything = inspect.stack
    # sacred looks for its caller among all frames with their sources: a quarter of `train help`.
    inspect.stack = lambda: [(sys._getframe(depth),) for depth in (2, 3)]
    try:
        ex = StrictExperiment(name, base_dir=str(PACKAGE), save_git_info=False)
    finally:
        inspect.stack = everything
    ex.doc = doc
    ex.captured_out_filter = apply_backspaces_and_linefeeds
    ex.logger = logging.getLogger(f"{__name__}.{name}")
    ex.logger.propagate = False
    ex.logger.setLevel(logging.WARNING)  # `-l INFO` shows more
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(_OwnWords())
    ex.logger.addHandler(handler)

    @ex.option_hook
    def only_rank_zero_observes(options):
        ex.stored = not options["--unobserved"]
        if rank() > 0:
            options["--unobserved"] = True
            options["--loglevel"] = "ERROR"

    return ex
