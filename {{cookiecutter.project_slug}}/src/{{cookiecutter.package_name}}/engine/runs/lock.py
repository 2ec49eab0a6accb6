"""A run's folder belongs to one process at a time, by a lock that dies with the process."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import TextIO

from ..errors import UserError, refusals
from ..processes import say
from .files import refuse_links

try:
    import fcntl
except ImportError:  # Windows: nothing tells there that two processes resume one run
    fcntl = None  # type: ignore[assignment]  # a module may be missing: mypy has no word for it


# What `fcntl` raises where a file system has no locks: some mounts of NFS, Lustre, FUSE.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
NOT_HERE = "its file system has no locks; train it in one process at a time"


def lock(path: Path) -> TextIO:
    """Locks a run's folder; the lock ends with the returned file, or with the process.

    Raises:
        UserError: another process has it; it is named. Or the folder cannot be written.
    """
    refuse_links(path / "lock")
    with refusals("run", (OSError,)):
        file = (path / "lock").open("a+", encoding="utf-8")
    for pause in (0.1, 0.1, 0):  # `is_locked` of another process holds it briefly
        try:
            _flock(file, exclusive=True)
            break
        except OSError as error:
            if error.errno in NO_LOCKS:
                say(f"lock   {path.parent.name}/{path.name} is not locked: {NOT_HERE}")
                break
            time.sleep(pause)
    else:
        file.seek(0)
        raise UserError(f"{path.parent.name}/{path.name} is being trained by {file.read()}")
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def is_locked(path: Path) -> bool:
    if not (path / "lock").is_file():  # opening a pipe might never end
        return False
    try:
        with (path / "lock").open(encoding="utf-8") as file:
            _flock(file, exclusive=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _flock(file: TextIO, exclusive: bool) -> None:
    # fcntl locks, not the flock of the filelock library: forked workers do not inherit them, and
    # workers may outlive a killed training process by some seconds (fcntl(2), "Record locks").
    if fcntl is not None:
        fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
