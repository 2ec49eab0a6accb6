"""The values of sacred's own options (`train help` lists them), before anything is made of them.

sacred (0.8.7) finds most mistakes in them when a run begins, and shows a traceback.
"""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UserError, unknown

CAPTURE = ("fd", "no", "sys")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
OBSERVERS = {  # option: what its observer imports, and how that is installed
    "--mongo_db": (["pymongo"], "pymongo"),
    "--sql": (["sqlalchemy"], "sqlalchemy"),
    "--tiny_db": (
        ["tinydb", "hashfs", "tinydb_serialization"],
        "tinydb hashfs tinydb-serialization",
    ),
}
WAIT_S = 3.0  # for a database to answer; pymongo itself waits for half a minute


def check_options(options: Mapping[str, Any]) -> None:
    """Refuses values that cannot work, and observers whose library or server is not there.

    Raises:
        UserError: names the option.
    """
    if options["--s3"]:
        raise UserError(
            "option --s3: runs are not stored in S3 while they go on: copy their folder"
        )
    for option, (modules, packages) in OBSERVERS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if options[option] and missing:
            raise UserError(f"option {option} needs {missing[0]}: pip install {packages}")
    _check_choice("--capture", options, CAPTURE)
    if not str(options["--loglevel"]).isdecimal():
        _check_choice("--loglevel", options, LEVELS)
    if (url := options["--sql"]) and not re.match(r"\w+(\+\w+)?://", url):
        raise UserError(f"option --sql: {url!r} is no address, as sqlite:///runs.db is one")
    if server := options["--mongo_db"]:
        _check_answers(server)


def _check_choice(option: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    value = options[option]
    if value is not None and value not in known:
        raise unknown(f"option {option}:", value, known)


def _check_answers(server: str) -> None:
    """As sacred/observers/mongo.py reads it: [host:port:]database, or host:port."""
    found = re.fullmatch(r"(?:([^:/@]+):(\d+)(?::[\w.!-]+)?|[\w.!-]+)", server)
    if not found:
        raise UserError(f"option --mongo_db: {server!r} is not host:port:database")
    host, port = found[1] or "localhost", int(found[2] or 27017)
    try:
        socket.create_connection((host, port), timeout=WAIT_S).close()
    except OSError as error:
        raise UserError(f"option --mongo_db: {host}:{port} does not answer ({error})") from None
