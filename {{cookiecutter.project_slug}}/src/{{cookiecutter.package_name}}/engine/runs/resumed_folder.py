"""Goes on in the folder of a stored run, which stays as it was until it has been trained further.

Until the first checkpoint is saved, this attempt adds its entry to the record, its output and its
sources, and nothing else: a resume that fails, is refused or is stopped before leaves
configuration, results, metrics, checkpoints and status as they were, whatever ends it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ..config.invocation import Invocation
from ..errors import UserError
from .files import modified, plain, write_json
from .folder import RunFolder
from .provenance import copy_sources
from .stored import Run, read_run

OF_THE_END = ("stop_time", "fail_trace", "result")
EVENTS = "events.out.tfevents.*"


class ResumedFolder(RunFolder):
    """The observer of a run that goes on.

    Args:
        run: as it was when the command began.
        changes: what its configuration says now and did not: dotted key -> value.
        config: what is recorded as the configuration once it has been trained further.
    """

    def __init__(self, run: Run, changes: dict[str, Any], config: dict[str, Any] | None):
        super().__init__(run.path.parent, run, config)
        self.run, self.changes = run, changes
        self.is_trained = self.was_complete = False
        self.pending: dict[str, Any] = {}  # files to write then
        self.events: set[Path] = set()  # the curves of earlier attempts
        self.begun = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether a finished run was resumed with other settings, and not trained with them."""
        self._notice()
        return self.was_complete and bool(self.changes) and not self.is_trained

    def _begin(
        self, attempt: dict[str, Any], config: dict[str, Any], facts: dict[str, Any]
    ) -> None:
        self.begun = modified(self._folder / "lock")
        run = read_run(self.run.path)  # now that it is locked: another may have trained it since
        if run.config != self.run.config:
            raise UserError(
                f"{run.name} has been trained with other settings by another process meanwhile: "
                "look at it, and resume it again"
            )
        self.run, self.was_complete = run, run.status_at_rest == "COMPLETED"
        self.events = set(self._folder.glob(EVENTS))
        earlier = run.ended_attempts()
        attempt |= {"changes": self.changes, "trained": False}
        if run.changed_sources():
            attempt["sources"] = f"attempts/{len(earlier) + 1}/sources"
            copy_sources(run.path / attempt["sources"])
        self.pending["config.json"] = config
        self._update(run.record | {"attempts": [*earlier, attempt], "status": "RUNNING"})

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        self._notice()
        if self.is_trained:
            super().heartbeat_event(info, captured_out, beat_time, result)
            return
        with self._noting_problems():
            self._update({"heartbeat": beat_time.isoformat()})

    def keep_info(self, info: dict[str, Any]) -> None:
        if self.is_trained:
            super().keep_info(info)
        else:
            self.pending["info.json"] = plain(**info)

    def has_trained(self) -> None:
        with self._lock, self._noting_problems():
            if self.is_trained:
                return
            self.is_trained = True
            for name, content in self.pending.items():
                write_json(self._folder / name, content)
            for key in OF_THE_END:
                self.record.pop(key, None)
            *earlier, last = self.record["attempts"]
            self._update({"attempts": [*earlier, last | {"trained": True}]})

    def _notice(self) -> None:
        """A process that Lightning has spawned saves, and cannot tell."""
        if not self.record:  # it has not begun
            return
        checkpoints = self._folder.glob("checkpoints/*.ckpt")
        if any(modified(path) > self.begun for path in checkpoints):
            self.has_trained()

    def _end(self, time: datetime, status: str, why: str | None, **more: Any) -> None:
        self._notice()
        super()._end(time, status, why, **more)
        is_as_before = status != "COMPLETED" or self.was_complete
        if self.record and not self.is_trained and is_as_before:
            self._undo()

    def _undo(self) -> None:
        with self._noting_problems():
            attempts = self.record["attempts"]
            self.record = {}
            self._update(self.run.record | {"attempts": attempts})
            for path in set(self._folder.glob(EVENTS)) - self.events:
                path.unlink()


def refuse_idle(invocation: Invocation) -> None:
    """Refuses settings for a finished run that had nothing left to train: they were not used.

    Raises:
        UserError: names them.
    """
    trainer_args = invocation.config["trainer_args"]
    saves = trainer_args.get("enable_checkpointing") is not False
    if not saves or trainer_args.get("fast_dev_run") or trainer_args.get("barebones"):
        return  # it may have been trained: nothing tells
    for observer in invocation.experiment.current_run.observers[:1]:
        if isinstance(observer, ResumedFolder) and observer.is_idle:
            raise UserError(
                f"{observer.run.name} is complete and had nothing left to train: "
                f"{', '.join(observer.changes)} changed nothing; say how far to train it, as in "
                "trainer_args.max_epochs=10"
            )
