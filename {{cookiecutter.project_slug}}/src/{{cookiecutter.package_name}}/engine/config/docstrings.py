"""What a docstring says of each argument: sections of Google and numpy, fields of Sphinx."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """One argument, as a docstring has it; an empty text where it says nothing."""

    type: str
    meaning: str


_SECTION = r"(?:keyword |other )?(?:args|arguments|param(?:eter)?s|attributes)"
_GOOGLE = re.compile(rf"( *){_SECTION}:\s*", re.IGNORECASE)
_NUMPY = re.compile(rf"( *){_SECTION}\s*", re.IGNORECASE)
_NAMES = r"\*{0,2}\w+(?:, *\*{0,2}\w+)*"
# `name: ...`, `name (type): ...`; a type may have brackets of its own.
_ARGUMENT = re.compile(rf"({_NAMES})(?:\s*\(((?:[^()]|\([^()]*\))*)\))?\s*:(?:\s+(.*)|$)")
_NUMPY_ARGUMENT = re.compile(rf"({_NAMES})\s*(?::\s*(.*))?")
_FIELD = re.compile(
    r":(param|parameter|arg|argument|key|keyword|type) +(?:([^:]*) )?\*{0,2}(\w+):(.*)"
)


def entries(docstring: str | None) -> dict[str, Entry]:
    """Every argument that a docstring explains, by its name."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    found: dict[str, Entry] = {}
    for position, line in enumerate(lines):
        below = lines[position + 1 :]
        if section := _GOOGLE.fullmatch(line):
            parsed = _google(list(_deeper(below, len(section[1]))))
        elif below and re.fullmatch(r" *-{3,}\s*", below[0]) and _NUMPY.fullmatch(line):
            parsed = _numpy(below[1:])
        elif line.lstrip().startswith(":"):
            parsed = _field(line.strip(), list(_deeper(below, _indent(line))))
        else:
            continue
        for name, new in parsed:
            old = found.get(name, Entry("", ""))
            found[name] = Entry(
                old.type or plain_text(new.type), old.meaning or _prose(new.meaning)
            )
    return found


def plain_text(text: str) -> str:
    """Text on one line without the marks of reStructuredText."""
    text = re.sub(r" *# noqa(: \w+)?", "", text)  # as in torch's own
    text = re.sub(r":[\w:.+-]+:`~?(?:[^`<]*\.)?([^`<.]+)`", r"\1", text)  # :class:`~torch.Tensor`
    text = re.sub(r":[\w:.+-]+:`([^`<]+?)\s*<[^`]*>`", r"\1", text)
    text = re.sub(r"``(.+?)``", r"\1", text)
    text = re.sub(r"`([^`<]+?)(?:\s*<[^`]*>)?`_{0,2}", r"\1", text)
    return " ".join(text.split())


def _prose(text: str) -> str:
    """The description of an argument, up to a directive (`.. note::`), which is about more."""
    return plain_text(re.split(r"^\s*\.\. \w+::", text, maxsplit=1, flags=re.MULTILINE)[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _deeper(lines: list[str], indent: int) -> Iterator[str]:
    """The lines up to the first that is not indented by more than `indent`."""
    for line in lines:
        if line.strip() and _indent(line) <= indent:
            return
        yield line


def _google(lines: list[str]) -> Iterator[tuple[str, Entry]]:
    indent = min((_indent(line) for line in lines if line.strip()), default=0)
    names: list[str] = []
    type_, meaning = "", ""
    for line in [*lines, f"{'':{indent}}end:"]:
        start = _ARGUMENT.fullmatch(line.strip()) if _indent(line) == indent else None
        if not start:
            meaning += f"\n{line}"
            continue
        yield from ((name, Entry(type_, meaning)) for name in names)
        names = re.findall(r"\w+", start[1])
        type_, meaning = start[2] or "", start[3] or ""


def _numpy(lines: list[str]) -> Iterator[tuple[str, Entry]]:
    indent = _indent(lines[0]) if lines else 0
    for position, line in enumerate(lines):
        below = lines[position + 1 :]
        if below and re.fullmatch(r" *-{3,}\s*", below[0]):
            return  # the next section
        start = _NUMPY_ARGUMENT.fullmatch(line.strip())
        if start and _indent(line) == indent:
            meaning = "\n".join(_deeper(below, indent))
            for name in re.findall(r"\w+", start[1]):
                yield name, Entry(start[2] or "", meaning)


def _field(line: str, below: list[str]) -> Iterator[tuple[str, Entry]]:
    if field := _FIELD.fullmatch(line):
        text = "\n".join([field[4], *below])
        if field[1] == "type":
            yield field[3], Entry(text, "")
        else:
            yield field[3], Entry(field[2] or "", text)
