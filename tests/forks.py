"""Runs commands in forks of one process that has imported the libraries, and kills them.

torch and Lightning take seconds to import and a small training takes less: a fork has them at once.
`Forks` is the tests' side; run as a program, this file is the process that forks. It reads jobs
from standard input, one JSON object a line, and answers each with a list of exit statuses.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from helpers import Project, environment, tree_module


class Forks:
    """The process that forks, and what it is asked for."""

    def __enter__(self) -> Forks:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error) -> None:
        self.process.communicate()  # closes its input, at whose end it ends

    def __call__(
        self,
        project: Project,
        cwd: Path,
        words: Sequence[str],
        number: int | None = None,
        after: float = 60.0,
        at: str = "",
        copies: int = 1,
        slow_disk: bool = False,
    ) -> int | list[int]:
        """Runs a command of a project, which need not be installed; returns its exit status.

        Args:
            project: whose command it is.
            cwd: folder to run it in; its output goes to `log.txt` there.
            words: of the command.
            number: signal to send, or None.
            after: seconds to wait before.
            at: pattern of a file below `cwd`; the signal is sent as soon as there is one.
            copies: so many at once; then a list of statuses is returned.
            slow_disk: whether each file takes a while until it is safely written.
        """
        cwd.mkdir(exist_ok=True, parents=True)
        job = {"package": project.package.name, "path": str(project.path / "src")}
        job |= {"cwd": str(cwd), "words": words, "signal": number, "after": after, "at": at}
        job |= {"copies": copies, "slow_disk": slow_disk}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        statuses = json.loads(self.process.stdout.readline())
        return statuses if copies > 1 else statuses[0]

    def run(self, project: Project, *words: str, cwd: Path) -> str:
        """Runs a command that succeeds, and returns what it printed."""
        log = cwd / "log.txt"
        before = log.stat().st_size if log.exists() else 0
        status = self(project, cwd, words)
        printed = log.read_bytes()[before:].decode()
        assert status == 0, printed
        return printed


def serve() -> None:
    import torchmetrics  # noqa: F401

    tree_module("engine.config.sacred_internals")  # and sacred, as every project imports it

    for line in sys.stdin:
        job = json.loads(line)
        pids = [_fork(job) for _ in range(job["copies"])]
        if job["signal"]:
            _wait(job)
            os.kill(pids[0], job["signal"])
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(statuses), flush=True)


def _wait(job: dict) -> None:
    end = time.monotonic() + job["after"]
    while time.monotonic() < end:
        if job["at"] and list(Path(job["cwd"]).glob(job["at"])):
            break
        time.sleep(0.002)


def _fork(job: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.chdir(job["cwd"])
    log = os.open("log.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for number in (1, 2):
        os.dup2(log, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    sys.argv = job["words"]
    if job["slow_disk"]:
        fsync = os.fsync
        os.fsync = lambda fd: (time.sleep(0.05), fsync(fd))
    status = 1
    try:
        sys.path.insert(0, job["path"])
        runner = importlib.import_module(f"{job['package']}.runner")
        getattr(runner, f"{job['words'][0]}_command")()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        print(end.code if isinstance(end.code, str) else "", end="")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
