"""How a training run stops: signals, dying processes, and hanging ones. Early stopping: attach.py.

phase                           | who handles it        | what happens
--------------------------------|-----------------------|-------------------------------------------
before `fit`: Ctrl-C, SIGTERM,  | processes.listen      | KeyboardInterrupt: INTERRUPTED, or no run
    SIGHUP unless it is ignored |                       |
`fit`, before the first step:   |                       |
    SIGTERM (the others are one)| stoppable             | KeyboardInterrupt: INTERRUPTED; a process
                                |                       | that has spawned others passes it on
between first and last step     | StopRequest, which    | saved and stopped within one batch, on
                                | Checkpoints asks      | every rank: INTERRUPTED
a second signal                 | StopRequest           | nothing more, while it is being obeyed
a second Ctrl-C, or no batch    | ended_if_hanging      | recorded as INTERRUPTED, then ended
for some seconds after a signal |                       |
after the last step             | StopRequest           | nothing: the record is being completed
another process has died        | together              | UserError in one line: the run is FAILED
the process that started this   | EndWithParent         | this process exits; records FAILED for a
one has died                    |                       | rank zero that no longer can
this one hangs in a collective  | together's watch      | recorded as FAILED, then ended
after another one has died      |                       |
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from multiprocessing import active_children
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.distributed import DistBackendError
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from ..config.invocation import Invocation
from ..errors import Interrupted, UserError
from ..plugins import import_lightning
from ..processes import launched, stop_signals, takes_signals
from ..runs.stored import read_run, record_failure
from .checkpoints import checkpoint_folder
from .hanging import ended_if_hanging, record_end
from .lightning_internals import observed_by

POLL_S = 0.5
GRACE_S = 3.0  # for a process to notice on its own, whose message says more
PARENT = "TRAINING_PARENT_PID"  # environment variable, for the processes that Lightning starts
GONE = "another process of the training is gone"


class StopRequest:
    """Whether a signal has requested that this process stops between two batches.

    Attributes:
        requested: a signal came.
        ended: the last step is done, so that there is nothing left to stop.
    """

    requested = False
    ended = False

    def take_over(self) -> None:
        """Replaces Lightning's handlers, which would stop the ranks at different points.

        `_SignalConnector._sigterm_notifier_fn` (signal_connector.py, 2.6.6) broadcasts from within
        the handler, in between whatever else the ranks exchange.
        """
        if takes_signals():
            for number in (signal.SIGINT, *stop_signals()):
                signal.signal(number, self._request)

    def _request(self, signum: int, frame: object) -> None:
        # Spawned children ignore SIGINT: the parent handles Ctrl-C, and torch sends SIGINT to its
        # children when the parent dies (torch/multiprocessing/spawn.py).
        if signum != signal.SIGINT or not multiprocessing.parent_process():
            self.requested = not self.ended

    def end(self) -> None:
        """Nothing is left to stop."""
        self.ended, self.requested = True, False

    def is_requested(self, trainer: Trainer) -> bool:
        """Whether any process is requested to stop; the answer is the same in all of them."""
        return trainer.strategy.reduce_boolean_decision(self.requested, all=False)


@contextlib.contextmanager
def stoppable(trainer: Trainer, request: StopRequest) -> Iterator[None]:
    """Ctrl-C and SIGTERM make the run INTERRUPTED also before and without `Checkpoints`.

    Raises:
        Interrupted: Lightning has stopped on a signal of its own.
    """

    def stop(*_: object) -> None:
        if spawned := [p for p in active_children() if p.name.startswith("Spawn")]:
            for process in spawned:  # they save and stop; `together` then ends this process
                process.terminate()
            return
        # While Lightning's handler is installed, it stops on its own, and calls this one as well
        # (`_SignalConnector.register_signal_handlers`, 2.6.6). A run that is already failing, or
        # whose last step is done, has nothing left to stop.
        ended = request.ended or trainer.interrupted
        if signal.getsignal(signal.SIGTERM) is stop and not ended:
            raise KeyboardInterrupt

    numbers = {signal.SIGINT, signal.SIGTERM, *stop_signals()} if takes_signals() else set()
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        # On SIGTERM Lightning stops between two batches, on KeyboardInterrupt within one.
        asks = number != signal.SIGTERM
        signal.signal(number, (lambda *_: signal.raise_signal(signal.SIGTERM)) if asks else stop)
    try:
        yield
    except SystemExit as end:
        # What becomes of KeyboardInterrupt in `_call_and_handle_interrupt` (trainer/call.py, 2.6).
        is_interrupt = isinstance(end.__context__, KeyboardInterrupt)
        if is_interrupt or isinstance(end, SIGTERMException):
            raise Interrupted(f"train was stopped at step {trainer.global_step}") from None
        raise UserError(f"sys.exit was called at step {trainer.global_step}: {end}") from end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class EndWithParent(Callback):
    """Ends a process that Lightning has spawned when its parent process is gone."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A spawned process unpickles its callbacks before Lightning can print anything in it.
        import_lightning()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if multiprocessing.parent_process():
            _end_with_parent(trainer)


def _end_with_parent(trainer: Trainer) -> None:
    parent = int(os.environ[PARENT])

    def outlive() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        _record_for_dead(trainer)
        os._exit(1)

    threading.Thread(target=outlive, daemon=True).start()


@contextlib.contextmanager
def together(trainer: Trainer, invocation: Invocation) -> Iterator[None]:
    """Turns the end of another process into the end of this one, in one line.

    Args:
        trainer: whose processes they are.
        invocation: whose run is recorded where only a kill can end this process.

    Raises:
        UserError: another process has died, or has refused something.
        Interrupted: another process was stopped by a signal.
    """

    def watch(children: list[subprocess.Popen[bytes]]) -> None:
        while not (why := _lost(children)):
            if all(child.returncode == 0 for child in children):
                return
            time.sleep(POLL_S)
        time.sleep(GRACE_S)
        # Still here: this process waits in a collective (all_reduce, say) for the dead one, which
        # no exception or signal handler can interrupt.
        if signals.told:
            record_end(invocation, "train was stopped while its processes started")
        else:
            record_end(invocation, why, failed=True)
        for child in children:
            child.kill()
        os._exit(1)

    def start_watch(children: list[subprocess.Popen[bytes]]) -> None:
        threading.Thread(target=watch, args=(children,), daemon=True).start()

    if int(os.environ.get("LOCAL_RANK", 0)) and not launched():
        _end_with_parent(trainer)  # now: the parent may die while the processes find each other
    else:
        os.environ[PARENT] = str(os.getpid())
    try:
        with ended_if_hanging(trainer, invocation) as signals, observed_by(start_watch):
            yield
    except ProcessExitedException as error:
        raise UserError(f"trainer_args.devices: {error}") from error
    except ProcessRaisedException as error:
        kind, _, said = str(error).strip().splitlines()[-1].partition(": ")
        for refusal in (UserError, Interrupted):
            if kind == refusal.__name__:
                raise refusal(said) from None
        raise
    except RuntimeError as error:
        if trainer.world_size == 1 or not _is_of_connection(error):
            raise
        if not trainer.is_global_zero:
            _record_for_dead(trainer)
        time.sleep(POLL_S)  # the connection breaks before the exit status can be read
        why = _lost(getattr(trainer.strategy.launcher, "procs", []))
        raise UserError(why or f"{GONE} ({error})") from error


def _is_of_connection(error: RuntimeError) -> bool:
    return isinstance(error, DistBackendError) or "gloo" in str(error)


def _lost(children: list[subprocess.Popen[bytes]]) -> str:
    """Which child has not ended well, if one has; "" if none."""
    for number, child in enumerate(children, start=1):
        if code := child.poll():
            return f"process {number} of the training (pid {child.pid}) ended with status {code}"
    return ""


def _record_for_dead(trainer: Trainer) -> None:
    """Makes the run FAILED if the process that keeps its record, rank zero, is gone."""
    checkpoints = checkpoint_folder(trainer)
    until = time.monotonic() + GRACE_S
    while checkpoints and time.monotonic() < until:
        with contextlib.suppress(OSError, UserError):
            run = read_run(checkpoints.parent)
            if run.status == "DEAD":
                record_failure(run, f"UserError: {GONE}: the one that keeps the record")
            if run.record["status"] != "RUNNING":
                return
        time.sleep(POLL_S)
