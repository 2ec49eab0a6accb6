"""Composes presets, files and the command line into one set of overrides.

Every decision before a run (is it resumed, which run, which folder, which model) is made from the
result, never from the words of the command line alone.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..errors import UserError, unknown
from .files import plain_values, read_config_file
from .plain_values import flattened
from .sacred_internals import ConfigDict, ConfigScope, spare_guesses
from .signatures import is_data_module


class Scope(ConfigScope):
    """The configuration function of a `*_config.py`, composed with the user's overrides.

    Attributes:
        basis: a stored run's configuration, which replaces that of the file; None: the file's.
        function: the configuration function itself.
    """

    basis: dict[str, Any] | None = None

    def __init__(self, function: Callable[..., None]):
        super().__init__(function)
        self.function = function

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What the file says."""
        said: dict[str, Any] = super().__call__()
        return said

    def __call__(
        self,
        fixed: dict[str, Any] | None = None,
        preset: dict[str, Any] | None = None,
        fallback: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        defaults = copy.deepcopy(self.defaults)
        if self.basis is None:
            summary = super().__call__(fixed, preset, fallback)
        else:  # keys that the file has gained since the run began: defaults
            defaults = {key: self.basis.get(key, value) for key, value in defaults.items()}
            summary = ConfigDict(defaults)(fixed, preset, fallback)
        overrides = fixed or {}
        for name in [key for key in overrides if key.endswith("_name")]:
            group = name.removesuffix("_name") + "_args"
            if group in defaults and overrides[name] != defaults[name]:
                # Another plug-in: the arguments that the file sets are not meant for it.
                summary[group] = overrides.get(group, {})
                if group == "dataset_args" and is_data_module(str(overrides[name])):
                    # Whose own arguments they are: the file sets them for our loaders.
                    summary["dataloader_args"] = overrides.get("dataloader_args", {})
        return spare_guesses(summary)


def compose(
    scope: Scope, presets: Mapping[str, ConfigScope], words: dict[str, Any], names: Sequence[str]
) -> dict[str, Any]:
    """The overrides of a command as one nested dict: each later one wins, the words over all.

    Args:
        scope: the configuration that is overridden.
        presets: the named configurations of the `*_config.py`.
        words: KEY=VALUE of the command line, nested.
        names: presets and files, in the order in which they were typed.

    Raises:
        UserError: a name is neither a preset nor a file, or a file cannot be read.
    """
    for name in names:
        if name not in presets and not os.path.isfile(name):
            raise _no_preset(name, scope, presets)
    if "" in words:
        raise UserError("'=' stands alone: write KEY=VALUE, without spaces")
    words = plain_values(words, "command line")
    overrides = words
    for position, name in enumerate(names):
        preset = presets.get(name) or ConfigDict(read_config_file(name))
        earlier = {} if position == 0 else overrides
        # As in sacred: what was typed is fixed, and what an earlier preset says is filled in.
        overrides = dict(preset(fixed=words, preset=earlier, fallback={}))
    return overrides


def _no_preset(name: str, scope: Scope, presets: Mapping[str, ConfigScope]) -> UserError:
    keys = dict(flattened(scope.defaults))
    if name in keys:
        return UserError(f"{name!r} has no value: write {name}=VALUE, without spaces")
    also = "; there are presets, files, and KEY=VALUE without spaces"
    return unknown("preset", name, {*presets, *keys} - {"__doc__"}, also)


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as dotted keys and values, less its docstring and what tells no run apart."""
    return dict(flattened({k: v for k, v in config.items() if k not in ("__doc__", "resume")}))
