"""`train completion bash`: what a shell has to know to complete `train` and `evaluate` by TAB.

The shell asks `train _complete <shell> ...` at each TAB; nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..config.arguments import arguments, first_line
from ..config.experiment import StrictExperiment
from ..config.files import SUFFIXES
from ..config.invocation import Invocation
from ..config.lists import members
from ..config.print_config import meanings
from ..config.sacred_internals import parse_updates
from ..errors import UserError, unknown
from ..plugins import KEYS, class_names
from .help import fed_groups, known_names
from .shells import SCRIPTS

# A candidate and what it means. One that ends with OPEN goes on, without a space behind it.
Candidate = tuple[str, str]
OPEN = ("=", ".", "/", ",")
PLACES = re.compile(r"(^|_)(dir|path|file|folder)s?$")  # keys whose text names a place on disk
STATUSES = ("COMPLETED", "DEAD", "FAILED", "INTERRUPTED", "RUNNING")


def completion(ex: StrictExperiment, words: list[str]) -> None:
    """Prints the script of a shell: `source <(train completion bash)`."""
    shell = words[0] if words else ""
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS)
    print(SCRIPTS[shell], end="")


def complete_words(ex: StrictExperiment, words: list[str]) -> None:
    """Prints the candidates for the last of the words that follow the command, one a line.

    Args:
        ex: the experiment whose command is typed.
        words: the shell; then for bash the characters at which it breaks words and the line up to
            the cursor, for the others the words up to the cursor, the unfinished one last.
    """
    shell, *typed = words
    cut = 0
    if shell == "bash":
        breaks, line = typed
        typed = _split(line)[1:]
        # bash replaces what follows the last of its breaks within the word, `=` and `:` say.
        cut = max((typed[-1].rfind(c) + 1 for c in breaks if c in "=:@"), default=0)
    for text, meaning in sorted(dict(candidates(ex, typed)).items()):
        if not text.startswith(typed[-1]) or (text == typed[-1] and text.endswith(OPEN)):
            continue
        if shell == "bash":
            word = text if text.endswith(OPEN) else f"{text} "
            print(word[cut:].replace(" ", "\\ ", word.rstrip().count(" ")))
        else:
            print(f"{text}\t{' '.join(meaning.split())}" if meaning else text)


def _split(line: str) -> list[str]:
    """The words of a line, the unfinished one last; empty where the line ends with a space."""
    for close in ("", "'", '"'):  # a quote may still be open
        with contextlib.suppress(ValueError):
            words = shlex.split(line + close)
            return [*words, ""] if not close and line[-1:].isspace() else words
    return ["", ""]


def candidates(ex: StrictExperiment, typed: list[str]) -> Iterator[Candidate]:
    """Everything that can stand in place of the last word."""
    *before, current = typed
    is_updated = "with" in before
    plain = before[: before.index("with")] if is_updated else before
    command = next((word for word in plain if word in {*ex.commands, *ex.answers}), None)
    invocation, config = _configured(
        ex, command, before[before.index("with") + 1 :] if is_updated else []
    )
    if is_updated:
        yield from _updates(invocation, config, current, before)
    elif current.startswith("-"):
        yield from ((flag, "") for option in ex.all_cli_options for flag in option.get_flags())
    elif command == "completion":
        yield from ((shell, "") for shell in SCRIPTS if plain[-1] == command)
    elif command == "help" and plain[-1] == command:
        yield from ((name, "") for name in {*known_names(invocation), *ex.commands})
    else:
        yield "with", "KEY=VALUE, presets and files"
        if command is None:
            yield "help", "what a command, a group or a key means"
            yield "completion", "completion by TAB in bash, zsh and fish"
            yield from ((name, _about(function)) for name, function in ex.commands.items())


def _about(function: Any) -> str:
    return inspect.cleandoc(function.__doc__ or "").partition("\n")[0]


def _configured(
    ex: StrictExperiment, command: str | None, words: list[str]
) -> tuple[Invocation, dict[str, Any]]:
    """The configuration as typed so far; that of the file where it would be refused."""
    name: str = command if command and command in ex.commands else ex.default_command
    with contextlib.suppress(UserError):
        invocation = ex.invocation(name, *parse_updates(words))
        return invocation, ex.resolve(invocation)
    invocation = ex.invocation(name, {})
    return invocation, invocation.config


def _updates(
    invocation: Invocation, config: dict[str, Any], current: str, before: list[str]
) -> Iterator[Candidate]:
    """What may follow `with`."""
    key, equals, value = current.partition("=")
    if equals:
        *done, last = value.split(",") if _is_list(invocation, config, key) else [value]
        head = "".join(f"{item}," for item in done)
        for text, meaning in _values(invocation, config, key, last):
            if text not in done and not (done and text == "all"):
                yield f"{key}={head}{text}", meaning
        return
    given = {word.partition("=")[0] for word in before}
    for name, meaning in _keys(invocation, config, current.rpartition(".")[0]):
        if name.rstrip("=") not in given and (
            name.count(".") <= current.count(".") or name[-1] == "."
        ):
            yield name, meaning
    if "." not in current or "/" in current:
        yield from _files(current, tuple(SUFFIXES))
    for name, preset in invocation.experiment.named_configs.items():
        if name not in given:
            yield name, _about(preset)


def _keys(invocation: Invocation, config: dict[str, Any], typed: str) -> Iterator[Candidate]:
    """All keys, and those in the group whose name is typed already."""
    said = meanings(invocation, config)
    if not invocation.is_default:
        for parameter in inspect.signature(invocation.function).parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD:
                yield f"{parameter.name}=", said.get(parameter.name, "")
        if invocation.command == "runs":
            yield from ((f"{key}=", "") for key in ("status", "model", "dataset", "seed"))
        return
    for key, value in config.items():
        if key == "__doc__":
            continue
        yield f"{key}." if isinstance(value, dict) else f"{key}=", said.get(key, "")
    if not typed:  # which run is evaluated, with which dataset, takes reading all of them
        return
    for group, class_name in fed_groups(config).items():
        if group == typed:
            with contextlib.suppress(UserError, SyntaxError):
                for argument in arguments(group, class_name):
                    yield f"{group}.{argument.name}=", argument.meaning
        elif group.startswith(f"{typed}."):
            yield f"{group}.", ""


def _type_and_meaning(invocation: Invocation, config: dict[str, Any], key: str) -> tuple[str, str]:
    """Of the argument that a key sets, as text."""
    group, _, name = key.rpartition(".")
    if not group:
        parameters = inspect.signature(invocation.function).parameters
        annotation = str(parameters[name].annotation) if name in parameters else ""
        return annotation, meanings(invocation, config).get(name, "")
    groups = fed_groups(config)
    with contextlib.suppress(UserError, SyntaxError):
        for argument in arguments(group, groups[group]) if group in groups else ():
            if argument.name == name:
                is_flag = argument.default in ("True", "False")
                return argument.type or "bool" * is_flag, argument.meaning
    return "", ""


def _is_list(invocation: Invocation, config: dict[str, Any], key: str) -> bool:
    type_, _ = _type_and_meaning(invocation, config, key)
    lists = ("list", "tuple", "Sequence", "List", "Tuple")
    return any(member.partition("[")[0] in lists for member in members(type_))


def _values(
    invocation: Invocation, config: dict[str, Any], key: str, typed: str
) -> Iterator[Candidate]:
    """What a key can be set to, where that is known: other values are as good."""
    type_, meaning = _type_and_meaning(invocation, config, key)
    for kind, name in KEYS.items():
        if key == name:
            for class_name in class_names(kind):
                about = ""
                with contextlib.suppress(UserError, SyntaxError):
                    about = first_line(f"{kind}_args", class_name)
                yield class_name, about
            return
    if key == "runs":
        yield "all", "every finished run"
    if key in ("run", "resume") or (key == "runs" and _is_list(invocation, config, key)):
        yield from _runs(invocation, config, key)
    for member in members(type_):
        if member == "bool":
            yield from (("True", ""), ("False", ""))
        elif member == "None" and key not in ("run", "runs"):
            yield "None", ""
        elif member.startswith("Literal["):
            yield from ((value.strip(" '\""), "") for value in member[8:-1].split(","))
    if key == "status":
        yield from ((status, "") for status in STATUSES)
    elif PLACES.search(key) or (key == "resume" and "/" in typed):
        endings = (".ckpt",) if key in ("checkpoint_path", "resume") else ("",)
        yield from _files(typed, endings)
    elif "str" in members(type_) and key not in ("run", "resume"):
        # `"cpu", "gpu", ...` in a comment: what the text may be.
        yield from ((word, "") for word in re.findall(r'"([\w:-]+)"', meaning))


def _runs(invocation: Invocation, config: dict[str, Any], key: str) -> Iterator[Candidate]:
    if key != "runs":
        yield "last", "the newest run"
    if key == "run" and invocation.command == "evaluate":
        yield "best", "the best value of its metric"
    for record in Path(config["log_dir"]).glob("*/*/run.json"):
        yield f"{record.parent.parent.name}/{record.parent.name}", ""


def _files(typed: str, endings: Iterable[str]) -> Iterator[Candidate]:
    """Folders, and files with one of the endings, that begin with what was typed."""
    folder, slash, name = typed.rpartition("/")
    with contextlib.suppress(OSError):
        for path in Path(folder + slash or ".").expanduser().iterdir():
            if path.name.startswith(".") and not name.startswith("."):
                continue
            if path.is_dir():
                yield f"{folder}{slash}{path.name}/", ""
            elif path.name.endswith(tuple(endings)):
                yield f"{folder}{slash}{path.name}", ""
