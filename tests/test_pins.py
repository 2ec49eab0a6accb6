"""The versions that are pinned, for every Python; and lists that have to say the same."""

from __future__ import annotations

import re
import sys

import pytest
import yaml
from helpers import TEMPLATE, TREE
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())


def requirements(lines) -> list[Requirement]:
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def pins(python: str) -> dict[str, str]:
    """Name -> version, of the lines of both constraints.txt that hold for a Python."""
    found = {}
    for folder in (TEMPLATE, TREE):
        for pin in requirements((folder / "constraints.txt").read_text().splitlines()):
            if pin.marker is None or pin.marker.evaluate({"python_version": python}):
                name = canonicalize_name(pin.name)
                assert name not in found, f"{name} is pinned twice for Python {python}"
                (found[name],) = (clause.version for clause in pin.specifier)
                assert str(pin.specifier).startswith("=="), pin
                assert not pin.extras, f"{pin}: pip refuses constraints with extras"
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(python):
    template = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())
    wanted = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    wanted += PROJECT["dependency-groups"]["dev"] + template["dependency-groups"]["dev"]
    found = pins(python)
    for requirement in requirements(wanted):
        version = found[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_no_pin_of_the_template_is_missing_from_its_group():
    lines = (TEMPLATE / "constraints.txt").read_text().splitlines()
    template = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())
    wanted = {
        requirement.name for requirement in requirements(template["dependency-groups"]["dev"])
    }
    assert {pin.name for pin in requirements(lines)} <= wanted


def test_the_tools_are_the_same_as_an_extra_and_as_a_group():
    assert PROJECT["project"]["optional-dependencies"]["dev"] == PROJECT["dependency-groups"]["dev"]


@pytest.mark.parametrize("folder", [TEMPLATE, TREE], ids=["template", "project"])
def test_the_hook_of_ruff_is_the_pinned_one(folder):
    hooks = yaml.safe_load((folder / ".pre-commit-config.yaml").read_text())
    (ruff,) = (repo for repo in hooks["repos"] if repo["repo"].endswith("/ruff-pre-commit"))
    assert ruff["rev"] == f"v{pins('3.14')['ruff']}"


@pytest.mark.parametrize("folder", [TEMPLATE, TREE], ids=["template", "project"])
def test_oldest_and_newest_python_are_tested(folder):
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "test.yml").read_text())
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert matrix == [PYTHONS[0], PYTHONS[-1]]
    named = [line for line in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert [line.rpartition(" ")[2] for line in named] == list(PYTHONS)
    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
