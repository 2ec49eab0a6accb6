"""What the project relies on in sacred without a promise: each by its name, and the stand-ins."""

from __future__ import annotations

import importlib
import inspect
import subprocess
from operator import attrgetter

import pytest
from helpers import environment, tree_module

PRIVATE = {  # dotted name -> what its source has to contain for us to rely on
    "sacred.experiment.Experiment.__init__": "inspect.stack()[1][0].f_globals",
    "sacred.experiment.Experiment._check_command": "cmd_name",
    "sacred.experiment.Experiment._create_run": "self.current_run = run",
    "sacred.experiment.Experiment.all_cli_options": None,
    "sacred.experiment.Experiment.gather_commands": "yield",
    "sacred.experiment.Experiment.get_usage": "self.base_dir",
    "sacred.experiment.Experiment.run": "self._create_run(",
    "sacred.experiment.Experiment.run_commandline": "except Exception as e",
    "sacred.run.Run.__call__": "except (SacredInterrupt, KeyboardInterrupt)",
    "sacred.run.Run._emit_failed": '"Failed after',
    "sacred.run.Run._emit_interrupted": '"Aborted after',
    "sacred.run.Run._emit_started": "self.main_function.signature.name",
    "sacred.run.Run.capture_mode": None,
    "sacred.run.Run.main_function": None,
    "sacred.run.Run.warn_if_unobserved": '"No observers have been added',
    "sacred.arg_parser.get_config_updates": "_convert_value(",
    "sacred.commands._format_named_config": "COLOR_DOC",
    "sacred.commandline_options.priority_option": None,
    "sacred.config.ConfigDict.__call__": "dogmatize(fixed",
    "sacred.config.ConfigDict.__init__": "normalize_or_die(d)",
    "sacred.config.ConfigScope.__call__": "normalize_or_die(value)",
    "sacred.config.config_summary.ConfigSummary.__init__": "self.typechanged",
    "sacred.initialize.create_run": "config_hook",
    "sacred.ingredient.Ingredient.__init__": "self.configurations = []",
    "sacred.serializer.flatten": "json",
    "sacred.stdout_capturing.get_stdcapturer": '"no"',
    "sacred.utils.apply_backspaces_and_linefeeds": None,
    "sacred.utils.convert_to_nested_dict": "iterate_flattened(",
    "sacred.utils.module_exists": None,
    "docopt.DocoptExit": None,
}


@pytest.mark.parametrize("name", PRIVATE)
def test_sacred_still_has(name):
    tree_module("engine.config.sacred_internals")  # imports sacred where it cannot import itself
    parts = name.split(".")
    module = importlib.import_module(".".join(p for p in parts[:-1] if not p[0].isupper()))
    *owners, last = [p for p in parts if p not in module.__name__.split(".")]
    owner = attrgetter(".".join(owners))(module) if owners else module
    if not hasattr(owner, last):  # set by the constructor
        assert f"self.{last} = " in inspect.getsource(owner.__init__), name
    elif PRIVATE[name]:
        assert PRIVATE[name] in inspect.getsource(getattr(owner, last)), name


BARE = """
import importlib.abc
import pkgutil
import sys


class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("pkg_resources", "setuptools"):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Without())
sys.modules.pop("pkg_resources", None)
if hasattr(pkgutil, "find_loader"):
    del pkgutil.find_loader
sys.argv = ["train", "help"]
"""


def test_neither_pkg_resources_nor_find_loader_is_needed(installed, tmp_path):
    """As on Python 3.14 without setuptools: help, a refusal, and the versions of what is there."""
    project = installed()
    runner = f"import runpy; from {project.package.name}.runner import train_command as train"
    done = project("python", "-c", f"{BARE}\n{runner}\ntrain(['train', 'help'])", cwd=tmp_path)
    assert "Trains the configured model" in done.stdout
    words = "['train', 'with', 'seed=x']"
    code = f"{BARE}\n{runner}\ntrain({words})"
    done = project("python", "-c", code, cwd=tmp_path, check=False)
    assert done.stdout.startswith("UserError: seed='x' does not fit")
    code = (
        f"{BARE}\n{runner}\nfrom sacred.dependencies import get_dependencies_from_pkg as all\n"
        "print(*[d.to_json() for d in all({}, '')])"
    )
    assert "sacred==0.8" in project("python", "-c", code, cwd=tmp_path).stdout


def test_the_stand_ins_are_sacreds_alone(installed, tmp_path):
    project = installed()
    name = project.package.name
    code = (
        f"import sys, pkgutil; had = hasattr(pkgutil, 'find_loader'); import {name}.runner\n"
        "assert 'pkg_resources' not in sys.modules, 'another library would find the stand-in'\n"
        "assert 'pandas' not in sys.modules\n"
        "assert hasattr(pkgutil, 'find_loader') == had"
    )
    project("python", "-W", "error", "-c", code, cwd=tmp_path)


def test_an_error_class_costs_nothing(installed, tmp_path):
    project = installed()
    code = (
        f"import gc, sys; from {project.package.name}.engine.errors import UserError\n"
        "assert 'sacred' not in sys.modules and gc.isenabled() and not gc.get_freeze_count()"
    )
    project("python", "-c", code, cwd=tmp_path)


TOLD = """
import os, signal, sys
from {package}.engine.config.sacred_internals import TerminalExperiment
from {package}.engine.errors import Interrupted, UserError

ex = TerminalExperiment.make("told", ".", "")


@ex.config
def config():
    \"\"\"How it ends.\"\"\"
    end = "well"


@ex.main
def told(end):
    if end == "refused":
        raise UserError("no")
    if end == "stopped":
        raise Interrupted("stopped at step 3")
    if end == "bug":
        raise KeyError("a bug")


ex.run_commandline()
"""


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("well", "COMPLETED", ""),
        ("refused", "FAILED", "UserError: no"),
        ("stopped", "INTERRUPTED", "Interrupted: stopped at step 3"),
        ("bug", "FAILED", "KeyError: 'a bug'"),
    ],
)
def test_how_a_run_ends_is_recorded_and_said(installed, tmp_path, end, status, said):
    project = installed()
    script = tmp_path / "told.py"
    script.write_text(TOLD.format(package=project.package.name))
    command = [project.python, script, "with", f"end={end}", "-F", tmp_path / "runs"]
    done = subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == (end != "well"), done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1:] == ([said] if said else lines[-1:])
    assert ("Traceback" in done.stderr) == (end == "bug")
    record = (tmp_path / "runs" / "1" / "run.json").read_text()
    assert f'"status": "{status}"' in record
    if end == "refused":
        assert r"UserError: no\n" in record  # the last line of fail_trace
