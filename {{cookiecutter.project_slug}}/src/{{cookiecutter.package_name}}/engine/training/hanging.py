"""Ends a process that was told to stop and does not: it hangs in its data or in a collective.

The handler of a signal runs in the main thread, between two steps of Python: not while that thread
waits within a library. `signal.set_wakeup_fd` tells another thread at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone

from pytorch_lightning import Trainer

from ..config.invocation import Invocation
from ..processes import stop_signals, takes_signals
from .checkpoints import checkpoints_of

POLL_S = 0.5
SECOND_S = 0.5  # after which another Ctrl-C is a second one, and not the same passed on
PATIENCE_S = 10.0  # for the next batch, after a signal; more where batches take longer than a third


class Signals:
    """What this process was told, as the thread that watches sees it.

    Attributes:
        told: a signal asked this process to stop.
    """

    told = False


@contextlib.contextmanager
def ended_if_hanging(trainer: Trainer, invocation: Invocation) -> Iterator[Signals]:
    """Within it, a second Ctrl-C or a stop that is not obeyed ends the process: INTERRUPTED.

    A process that goes on from batch to batch, or saves, is left alone: it is about to stop.
    """
    signals = Signals()
    if not takes_signals():
        yield signals
        return
    reader, writer = socket.socketpair()
    reader.settimeout(POLL_S)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, signals, trainer, invocation))
    watch.daemon = True
    watch.start()
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # which ends the watch
        watch.join()
        reader.close()


def _not_in_children() -> None:
    """A forked worker has the descriptor, too: what it is told is not for us."""
    if takes_signals():
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_not_in_children)


def _watch(
    reader: socket.socket, signals: Signals, trainer: Trainer, invocation: Invocation
) -> None:
    stops = (signal.SIGINT, *stop_signals())
    first = moved = time.monotonic()
    position, longest, insisted = _position(trainer), 0.0, False
    while True:
        received = b""
        with contextlib.suppress(TimeoutError):
            received = reader.recv(64)
            if not received:
                return
        now = time.monotonic()
        if told := [number for number in received if number in stops]:
            if not signals.told:
                signals.told, first = True, now
            insisted = insisted or (signal.SIGINT in told and now - first > SECOND_S)
        reached, saving = _position(trainer), _is_saving(trainer)
        if saving or reached != position:
            if not saving and not signals.told:
                longest = max(longest, now - moved)
            position, moved = reached, now
        patience = 0 if insisted else max(PATIENCE_S, 3 * longest)
        if signals.told and now - max(first, moved) >= patience and not saving:
            record_end(
                invocation, f"train was stopped at step {trainer.global_step}, where it hung"
            )
            os._exit(1)


def _position(trainer: Trainer) -> tuple[int, int]:
    """Batches that were begun, of the training and of validations."""
    loop = trainer.fit_loop.epoch_loop
    return loop.batch_progress.total.ready, loop.val_loop.batch_progress.total.ready


def _is_saving(trainer: Trainer) -> bool:
    checkpoints = checkpoints_of(trainer)
    return checkpoints is not None and checkpoints.saving is not None


def record_end(invocation: Invocation, why: str, failed: bool = False) -> None:
    """Records and says how a process ends whose main thread can do so no more.

    Args:
        invocation: whose run it is; other processes than rank zero record nothing.
        why: the line for the person at the terminal.
        failed: the run is FAILED, not INTERRUPTED.
    """
    now = datetime.now(timezone.utc).replace(tzinfo=None)  # as sacred's
    kind = "UserError" if failed else "Interrupted"
    for observer in (run := invocation.experiment.current_run).observers:
        if failed:
            observer.failed_event(now, [f"{kind}: {why}"])
        else:
            observer.interrupted_event(now, "INTERRUPTED")
    if run.observers:
        print(f"{kind}: {why}", file=sys.stderr, flush=True)
