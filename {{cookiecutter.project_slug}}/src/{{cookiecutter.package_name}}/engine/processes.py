"""Which of several training processes this one is, and how signals reach it."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from .errors import printable


def rank() -> int:
    """This process's number among those that train together: zero is one process only."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    number = {name: int(os.environ[name]) for name in names if name in os.environ}
    if "RANK" in number:  # torchrun
        return number["RANK"]
    if "LOCAL_RANK" in number or "NODE_RANK" in number:  # Lightning; not unique, but for zero
        return number.get("LOCAL_RANK", 0) + number.get("NODE_RANK", 0)
    return number.get("SLURM_PROCID", 0)


def launched() -> dict[str, int]:
    """The Trainer's `devices` and `num_nodes` where torchrun or srun has started the processes."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        here, everywhere = int(env["LOCAL_WORLD_SIZE"]), int(env["WORLD_SIZE"])
        return {"devices": here, "num_nodes": everywhere // here}
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(env.get("SLURM_NNODES", "1"))
        return {"devices": int(env["SLURM_NTASKS"]) // nodes, "num_nodes": nodes}
    return {}


def say(text: str) -> None:
    """Prints for the person at the terminal, once for all processes; no control characters."""
    if rank() == 0:
        print(printable(text), flush=True)


def stop_signals() -> list[signal.Signals]:
    """The signals besides Ctrl-C that ask to stop; none that is ignored (`nohup`, `disown`)."""
    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]  # no HUP on Windows
    return [n for n in numbers if n is not None and signal.getsignal(n) is not signal.SIG_IGN]


def takes_signals() -> bool:
    """Whether this thread may have handlers of signals: Python gives them to the main one only."""
    return threading.current_thread() is threading.main_thread()


def listen() -> None:
    """Makes signals to stop a KeyboardInterrupt until the training takes over (stopping.py)."""
    if takes_signals():
        for number in stop_signals():
            signal.signal(number, _interrupt)
        # A shell script lets the processes that it starts in the background ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # Lightning (2.6, trainer/connectors/signal_connector.py) calls the handler that it has
    # replaced as well: then it is its turn to stop, between two batches.
    if signal.getsignal(signum) is _interrupt:
        raise KeyboardInterrupt


def use_threads(number: int | None) -> None:
    """Limits the threads that torch computes with, in this process and those that it starts.

    Args:
        number: of threads; None (a run of an early version) leaves torch's own choice.
    """
    import torch

    if number:
        torch.set_num_threads(number)
        os.environ["OMP_NUM_THREADS"] = str(number)
