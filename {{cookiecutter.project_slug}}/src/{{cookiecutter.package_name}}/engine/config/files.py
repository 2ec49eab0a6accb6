"""Reads a configuration file as data: JSON or YAML of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError, refusals
from .sacred_internals import load_config_file


def read_config_file(name: str) -> dict[str, Any]:
    """The configuration in a file.

    Raises:
        UserError: it cannot be read, or holds no configuration.
    """
    with refusals(name, (ValueError, OSError, KeyError)):
        content = load_config_file(name)
    if not isinstance(content, dict):
        raise UserError(f"{Path(name)} holds no configuration, but a {type(content).__name__}")
    return content
