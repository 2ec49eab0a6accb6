"""What `train` and `evaluate` share: a sacred experiment that is quick, strict and safe in DDP.

sacred's own answer to a mistyped override is a warning, a traceback or silence. Here every
override is held against the signature that it feeds before anything is imported or written.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import Interrupted, UserError, unknown
from ..plugins import PACKAGE
from ..processes import listen, rank
from ..terminal import lasting
from .checks import check_command
from .compose import Scope, compose
from .invocation import Invocation, current, enter, leave
from .lists import all_lists, top_level_lists
from .options import check_options
from .plain_values import refuse_objects
from .print_config import in_colour, print_config
from .project_folder import refuse_foreign_folder
from .sacred_internals import TerminalExperiment, option_refusals, use_colours


class StrictExperiment(TerminalExperiment):
    """A sacred experiment whose refusals are one line and whose help is readable.

    Attributes:
        basis: called with the invocation of a command; returns the configuration of a stored run
            that it starts from, or None. The runner sets it.
        classes_of: called with a configuration; returns the names of classes that a stored run
            has, and not the configuration (`model_name`, say). The runner sets it.
        answers: first word -> function that answers the words behind it, without a run. The
            runner sets it. (`help COMMAND` is sacred's.)
        words: that were typed behind the name of the command; None where Python called it.
    """

    words: list[str] | None = None
    basis: Callable[[Invocation], dict[str, Any] | None] = staticmethod(lambda invocation: None)
    classes_of: Callable[[dict[str, Any]], dict[str, str]] = staticmethod(lambda config: {})
    answers: Mapping[str, Callable[[StrictExperiment, list[str]], None]] = MappingProxyType({})

    def run_commandline(self, argv: Sequence[str] | None = None) -> Any:
        words = [str(word) for word in (sys.argv if argv is None else argv)][1:]
        answer = self.answers.get(words[0]) if words else None
        try:
            if argv is None and words[:1] not in (["_complete"], ["completion"]):
                refuse_foreign_folder(self.path)  # a module's name says whose it is: `python -m`
            if answer and (words[0] != "help" or (words[1:2] and words[1] not in self.commands)):
                with lasting():
                    return answer(self, words[1:])
        except UserError as refusal:
            sys.exit(f"{type(refusal).__name__}: {refusal}")
        self.words = words
        try:
            return super().run_commandline(argv)
        finally:
            self.words = None

    @property
    def scope(self) -> Scope:
        """The configuration of the `*_config.py`."""
        scope: Scope = self.configurations[0]
        return scope

    @property
    def defaults(self) -> dict[str, Any]:
        """What the `*_config.py` says."""
        return self.scope.defaults

    def config(self, function: Callable[..., None]) -> Scope:
        scope = Scope(function)
        self.configurations.append(scope)
        return scope

    def add_commands(self, *functions: Callable[..., Any], unobserved: bool) -> None:
        """Makes commands of functions, by their names: their signatures are the schemas."""
        for function in functions:
            self.command(function, unobserved=unobserved)

    def misunderstood(self, words: list[str]) -> UserError:
        known = {flag for option in self.all_cli_options for flag in option.get_flags()}
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        stray = [word for word in options if word not in known]
        said = f"`{' '.join([self.path, *words])}` is not understood"
        if stray:
            said = str(unknown("option", stray[0], known))
        return UserError(f"{said} (see `{self.path} help`)")

    def refuse_command(self, name: str | None) -> None:
        commands = dict(self.gather_commands())
        if name is not None and "=" in name:
            raise UserError(f"{name!r} is no command: write `{self.path} with {name} ...`")
        if name == "with":
            raise UserError("nothing follows `with`: write KEY=VALUE, or the name of a preset")
        if name not in commands:
            raise unknown("command", str(name), {*commands, "help", *self.answers} - {"_complete"})

    def run_checked(
        self,
        command_name: str | None = None,
        config_updates: dict[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        **kwargs: Any,
    ) -> Any:
        name = command_name or self.default_command
        words = config_updates or {}
        listen()
        invocation = self.invocation(name, words, named_configs)
        if named_configs:  # composed already: sacred is to record them, not to read them again
            kwargs["meta_info"] = {"named_configs": [*named_configs], "config_updates": words}
        token = enter(invocation)
        try:
            with option_refusals():
                self.resolve(invocation)
                use_colours(in_colour())
                run = super().run_checked(name, invocation.overrides, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted(f"{self.path} was stopped") from None
        except Interrupted:
            if rank() > 0:
                sys.exit()  # rank zero says it; Lightning takes any other status for a crash
            raise
        finally:
            self.scope.basis = None
            leave(token)
        for problem in filter(None, (getattr(o, "problem", None) for o in run.observers)):
            raise UserError(f"the record of the run could not be written: {problem}")
        return run

    def invocation(
        self, name: str, words: dict[str, Any], presets: Sequence[str] = ()
    ) -> Invocation:
        """A call of a command, before a stored run that it may start from is looked for."""
        function = inspect.unwrap(self.commands[name])
        main = inspect.unwrap(self.commands[self.default_command])
        is_default = function.__module__.startswith("sacred.") or function in (main, print_config)
        function = main if is_default else function
        overrides = compose(self.scope, self.named_configs, words, presets)
        overrides = top_level_lists(function, overrides)
        config = dict(self.scope(fixed=overrides))
        refuse_objects(config, CONFIG_FILES[self.path])
        return Invocation(
            experiment=self,
            command=name,
            function=function,
            is_default=is_default,
            defaults=self.defaults,
            overrides=overrides,
            config=config,
        )

    def resolve(self, invocation: Invocation) -> dict[str, Any]:
        """The configuration of a command, from that of a stored run where it starts from one."""
        self.scope.basis = self.basis(invocation)
        config = dict(self.scope(fixed=invocation.overrides))
        if invocation.is_default:
            if {"model_args", "dataset_args"} & invocation.overrides.keys():
                config |= self.classes_of(config)
            invocation.overrides = all_lists(invocation, invocation.overrides, config)
        return dict(self.scope(fixed=invocation.overrides))


CONFIG_FILES = {"train": "train_config.py", "evaluate": "eval_config.py"}


class _SacredsWords(logging.Filter):
    """Drops sacred's messages about what the error line or the run's folder says better.

    `Run._emit_failed`, `_emit_interrupted` and `warn_if_unobserved` (0.8.7) begin with these words;
    each goes through the experiment's logger, and none can be turned off by itself.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Failed", "Aborted", "No observers have"))


_EXPERIMENTS: dict[str, StrictExperiment] = {}


def experiment(name: str) -> StrictExperiment:
    """The experiment "train" or "evaluate", for the defaults of the other command."""
    return _EXPERIMENTS[name]


def make_experiment(name: str, doc: str) -> StrictExperiment:
    """An experiment that observes on rank zero only and speaks when there is something to say."""
    ex = _EXPERIMENTS[name] = StrictExperiment.make(name, base_dir=str(PACKAGE), doc=doc)
    ex.add_commands(print_config, unobserved=True)
    ex.logger = logging.getLogger(f"{__name__}.{name}")
    ex.logger.propagate = False
    ex.logger.setLevel(logging.WARNING)  # `-l INFO` shows more
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(_SacredsWords())
    ex.logger.addHandler(handler)

    @ex.option_hook
    def only_rank_zero_observes(options: dict[str, Any]) -> None:
        check_options(options)
        current().is_stored = not options["--unobserved"]
        if rank() > 0:
            options["--unobserved"] = True
            options["--loglevel"] = "ERROR"

    @ex.config_hook
    def check(config: dict[str, Any], command_name: str, logger: logging.Logger) -> None:
        check_command(current(), config)

    return ex


def to_dict(cls: type) -> dict[str, Any]:
    """Makes a group of the configuration from a class body: `@to_dict class model_args: ...`."""
    return {key: value for key, value in vars(cls).items() if not key.startswith("__")}
