"""What becomes of a training when one of its processes dies: it fails, and nobody is left over."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies.launchers import subprocess_script
from torch.distributed import DistBackendError
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ..util.experiment import Interrupted, UserError
from ..util.loading import import_lightning
from ..util.processes import launched
from ..util.record import record_failure
from ..util.runs import read_run

POLL_S = 0.5
GRACE_S = 3.0  # for a process to notice by itself, and to say it better
GONE = "another process of the training is gone"


class EndWithParent(Callback):
    """Ends a process that Lightning has started when the one that started it is gone."""

    def __setstate__(self, state):
        import_lightning()  # a spawned process, before Lightning speaks in it

    def setup(self, trainer, pl_module, stage):
        is_script = "LOCAL_RANK" in os.environ and not launched() and trainer.local_rank
        if is_script or multiprocessing.parent_process():
            self.parent = os.getppid()
            threading.Thread(target=self._outlive, args=(trainer,), daemon=True).start()

    def _outlive(self, trainer: Trainer) -> None:
        while os.getppid() == self.parent:
            time.sleep(POLL_S)
        _record_for_dead(trainer)
        os._exit(1)


@contextlib.contextmanager
def together(trainer: Trainer, fail: Callable[[str], None]) -> Iterator[None]:
    """Turns the end of another process into the end of this one, in one line.

    Args:
        trainer: whose processes they are.
        fail: writes why the run failed; called where only a kill can end it.
    """

    def watch(children):
        while not (why := _lost(children)):
            if all(child.returncode == 0 for child in children):
                return
            time.sleep(POLL_S)
        time.sleep(GRACE_S)
        # Still here: it waits for the dead one in a collective, which nothing else can end.
        fail(f"UserError: {why}")
        for child in children:
            child.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    # In place of Lightning's watch, which kills this process before it can say anything.
    subprocess_script._launch_process_observer = lambda children: threading.Thread(
        target=watch, args=(children,), daemon=True
    ).start()
    try:
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
        time.sleep(POLL_S)  # a broken connection is known before its reason
        why = _lost(getattr(trainer.strategy.launcher, "procs", []))
        raise UserError(why or f"{GONE} ({error})") from error


def _is_of_connection(error: RuntimeError) -> bool:
    return isinstance(error, DistBackendError) or "gloo" in str(error)


def _lost(children: list) -> str:
    """Which child has not ended well, if one has; "" if none."""
    for number, child in enumerate(children, start=1):
        if code := child.poll():
            return f"process {number} of the training (pid {child.pid}) ended with status {code}"
    return ""


def _record_for_dead(trainer: Trainer) -> None:
    """Makes the run FAILED if the process that keeps its record is gone, as others see first."""
    checkpoints = trainer.checkpoint_callback and trainer.checkpoint_callback.folder
    until = time.monotonic() + GRACE_S
    while checkpoints and time.monotonic() < until:
        with contextlib.suppress(OSError, UserError):
            run = read_run(checkpoints.parent)
            if run.status == "DEAD":
                record_failure(run, f"UserError: {GONE}: the one that keeps the record")
            if run.record["status"] != "RUNNING":
                return
        time.sleep(POLL_S)
