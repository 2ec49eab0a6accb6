"""Runs a project's commands in forks of a process that has imported everything, and kills them.

Reads jobs from standard input, one JSON object a line, and answers each with a list of exit
statuses. Not a test: test_resuming.py starts it with the project's own Python.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import pytorch_lightning  # noqa: F401
import torch.utils.tensorboard  # noqa: F401

runner = importlib.import_module(f"{sys.argv[1]}.runner")


def start(job: dict) -> int:
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
        getattr(runner, f"{job['words'][0]}_command")()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        print(end.code if isinstance(end.code, str) else "", end="")
    finally:
        sys.stdout.flush()
        os._exit(status)


for line in sys.stdin:
    job = json.loads(line)
    pids = [start(job) for _ in range(job["copies"])]
    if job["signal"]:
        begun = time.monotonic()
        while time.monotonic() < begun + job["after"]:
            if job["at"] and list(Path(job["cwd"]).glob(job["at"])):
                break
            time.sleep(0.002)
        os.kill(pids[0], job["signal"])
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids]), flush=True)
