"""Any text arrives as it was typed, or is refused in plain words before a file is written."""

from __future__ import annotations

import contextlib
import json
import string
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from helpers import TEMPLATE, environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NASTY = [
    'say "hello"',
    "it's 'fine'",
    '"""',
    "'''",
    "C:\\new\\table \\N{x} \\",
    "C# & F#, 100 % # not a comment",
    "*bold* _it_ `code` [x](y) <b>tag</b> &amp; ~~no~~ | a | !",
    "a: b, [c] @d !e %f $g ${h} > i - j",
    "日本語のプロジェクト",
    "Zoë Ångström-Łukasz",
    "\U0001f680 rockets \U0001f468\u200d\U0001f52c",
    "true",
    "1. 2. 3.",
    "- minus",
    "e\u0301 combining",
]
FIELDS = ["project_name", "description", "full_name"]


def stamp(folder: Path, **context: str) -> Path:
    context = {"project_slug": "a-project"} | context
    with contextlib.redirect_stdout(None):
        path = cookiecutter(
            str(TEMPLATE), no_input=True, extra_context=context, output_dir=str(folder)
        )
    return Path(path)


def shown(markdown: str) -> str:
    """The text that a reader of the page sees."""

    def texts(node):
        if node.type in ("text", "code_inline"):
            yield node.content
        elif node.type == "softbreak":
            yield "\n"
        for child in node.children:
            yield from texts(child)

    return "".join(texts(SyntaxTreeNode(MarkdownIt().parse(markdown))))


def check_arrived(project: Path, name: str, description: str, author: str) -> None:
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["description"] == description
    assert metadata["authors"] == [{"name": author, "email": "you@example.com"}]
    first, second = (project / "README.md").read_text("utf-8").split("\n\n")[:2]
    assert shown(first) == name.strip()
    assert shown(second) == f"What it is about: {description}".strip()
    assert author in (project / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("field", FIELDS)
def test_nasty_text_arrives(tmp_path, field, text):
    values = dict(zip(FIELDS, ("Name", "Description.", "Author"))) | {field: text}
    check_arrived(stamp(tmp_path, **values), *values.values())


def test_nasty_text_arrives_in_the_metadata_of_a_wheel(tmp_path):
    project = stamp(tmp_path, description=NASTY[0] + NASTY[4], full_name=NASTY[8] + NASTY[0])
    code = "from flit_core.buildapi import prepare_metadata_for_build_wheel as p; print(p('.'))"
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, capture_output=True)
    content = next(project.glob("*.dist-info/METADATA")).read_bytes()
    metadata = message_from_bytes(content)
    text = content.decode("utf-8")
    assert f"Summary: {NASTY[0]}{NASTY[4]}\n" in text
    assert NASTY[8] in text
    assert metadata["Name"] == "a-project"


# What pre_gen lets pass: no control characters, surrogates, line breaks or non-characters.
CHARACTERS = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"
)
TEXT = st.text(CHARACTERS, min_size=1, max_size=40).filter(
    lambda text: text.strip() == text and not any(mark in text for mark in ("{{", "{%", "{#"))
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=TEXT, description=TEXT, author=TEXT)
def test_any_text_arrives(tmp_path_factory, name, description, author):
    folder = tmp_path_factory.mktemp("any")
    project = stamp(folder, project_name=name, description=description, full_name=author)
    check_arrived(project, name, description, author)


BAD = [
    ("project_name", " ", "is blank"),
    ("full_name", "", "is blank"),
    ("project_name", "two\nlines", "line breaks"),
    ("description", "bell\a", "control characters"),
    ("full_name", "nul\0", "control characters"),
    ("description", "separator\u2028", "line breaks"),
    ("full_name", "mark\ufeff", "control characters"),
    ("project_slug", "../up", "no folder name"),
    ("project_slug", "a/b", "no folder name"),
    ("project_slug", "a\\b", "no folder name"),
    ("project_slug", "-dash", "no folder name"),
    ("project_slug", "dot.", "no folder name"),
    ("project_slug", "two words", "no folder name"),
    ("project_slug", "what?", "no folder name"),
    ("project_slug", "x" * 65, "no folder name"),
    ("project_slug", "con", "device"),
    ("project_slug", "Aux.v2", "device"),
    ("project_slug", "lpt1", "device"),
    ("project_slug", "torch", "library"),
    ("project_slug", "pytorch-lightning", "library"),
    ("package_name", "class", "keyword"),
    ("package_name", "match", "keyword"),
    ("package_name", "json", "standard library"),
    ("package_name", "torch", "library"),
    ("package_name", "pytorch_lightning", "library"),
    ("package_name", "sacred", "library"),
    ("package_name", "src", "meaning of its own"),
    ("package_name", "3net", "cannot be imported"),
    ("package_name", "My_Net", "cannot be imported"),
    ("package_name", "my-net", "cannot be imported"),
    ("package_name", "nët", "cannot be imported"),
    ("email", "nobody", "name@host.tld"),
    ("email", "a@localhost", "name@host.tld"),
    ("email", 'a"b@c.de', "name@host.tld"),
    ("copyright_year", "soon", "no year"),
]


def refused(folder: Path, answers: dict[str, str]) -> str:
    """Stamps as a person does, by answering the questions, and returns what is said."""
    code = (
        "import sys, json; from cookiecutter.main import cookiecutter; "
        "import cookiecutter.main as m; answers = json.loads(sys.argv[2]); "
        "ask = m.prompt_for_config; "
        "m.prompt_for_config = lambda context, no_input: {**ask(context, True), **answers}; "
        "cookiecutter(sys.argv[1], output_dir=sys.argv[3])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(TEMPLATE), json.dumps(answers), str(folder)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode != 0, f"{answers} was accepted"
    return done.stderr


@pytest.mark.parametrize(("field", "text", "reason"), BAD)
def test_bad_answers_are_refused(tmp_path, field, text, reason):
    folder = tmp_path / "out" / "deeper"
    folder.mkdir(parents=True)
    message = refused(folder, {field: text})
    (line,) = [line for line in message.splitlines() if line.startswith("  - ")]
    assert field in line
    assert reason in line
    assert list(folder.rglob("*")) == []
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("mark", ["{" + c for c in "{%#"])
@pytest.mark.parametrize("field", FIELDS)
def test_jinja_is_refused(tmp_path, field, mark):
    """cruft would render it at each update."""
    (tmp_path / "out").mkdir()
    assert f"{field} has Jinja delimiters" in refused(tmp_path / "out", {field: f"a {mark} b"})
    assert list((tmp_path / "out").iterdir()) == []


def test_all_reasons_are_given_at_once(tmp_path):
    (tmp_path / "out").mkdir()
    answers = {"project_name": " ", "package_name": "class", "email": "x", "model": "gpt"}
    message = refused(tmp_path / "out", answers)
    assert len([line for line in message.splitlines() if line.startswith("  - ")]) == 4


@pytest.mark.parametrize("slug", ["a", "My-Net.v2", "x" * 64, "3d_net", *string.ascii_letters[:2]])
def test_good_names_are_taken(tmp_path, slug):
    package = {"3d_net": "net3d"}.get(slug)
    project = stamp(tmp_path, project_slug=slug, **({"package_name": package} if package else {}))
    assert project.name == slug
    expected = package or slug.lower().replace("-", "_").replace(".", "_")
    assert next(project.glob("src/*")).name == expected
