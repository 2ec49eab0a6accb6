"""From where training continues: which stored run a command means, and which checkpoint of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.invocation import Invocation
from ..errors import UserError, printable
from ..processes import rank, say
from .finding import find_run, run_of_checkpoint
from .lock import lock
from .provenance import same_data
from .stored import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumed:
    """A run that goes on: from one of its checkpoints, or from the newest sound one."""

    run: Run
    checkpoint: Path | None
    changes: dict[str, Any] = field(default_factory=dict)  # dotted key -> value: not the run's own


def stored_basis(invocation: Invocation) -> dict[str, Any] | None:
    """The configuration of the run that a command resumes or reproduces; None for any other.

    Raises:
        UserError: there is no such run, or it cannot be resumed or reproduced.
    """
    config = invocation.config
    if invocation.command == "reproduce":
        run = invocation.reproduced = _reproduced(invocation)
        return run.own_config() | {"log_dir": config["log_dir"]}
    wanted = config.get("resume")
    if wanted is None or not invocation.is_default:
        return None
    checkpoint = None
    if str(wanted).endswith(".ckpt"):
        checkpoint = Path(wanted)
        run = run_of_checkpoint(wanted)
    else:
        name = "newest" if wanted == "last" else wanted
        run = find_run(config["log_dir"], name, config["model_name"])
    model_name = invocation.overrides.get("model_name", run.config["model_name"])
    if model_name != run.config["model_name"]:
        raise UserError(f"model_name: {run.name} goes on as {run.config['model_name']}")
    if rank() == 0 and run.status == "RUNNING":
        lock(run.path).close()  # refuses, and names the process that has it
    invocation.resumed = Resumed(run, checkpoint)
    return run.own_config() | {"log_dir": str(run.path.parent.parent), "resume": wanted}


def _reproduced(invocation: Invocation) -> Run:
    if "run" not in invocation.overrides:
        raise UserError("reproduce what? write `train reproduce with run=3`")
    if also := sorted(invocation.overrides.keys() - {"log_dir", "run", "__doc__"}):
        raise UserError(f"{also[0]}: a run is reproduced with its own configuration")
    config = invocation.config
    run = find_run(config["log_dir"], invocation.overrides["run"], config["model_name"])
    if run.status != "COMPLETED":
        raise UserError(f"{run.name} is {run.status}: only a finished run can be reproduced")
    return run


def starting_point(
    resumed: Resumed | None, record: dict[str, Any]
) -> tuple[Path | None, int | None]:
    """The checkpoint to go on from, and the first step that is to be logged from there.

    Args:
        resumed: the run that goes on; None: a new run begins.
        record: of the run as it is now.

    Returns:
        (None, None) for a new run; (None, 0) if the run was stopped before its first checkpoint:
        it begins anew.

    Raises:
        UserError: the requested checkpoint is damaged, or all of the run's are.
    """
    from .checkpoint_file import (
        OF_A_TRAINING,
        DamagedError,
        read_checkpoint,
        refuse_incomplete,
        resume_state,
    )

    if resumed is None:
        return None, None
    run, damaged = resumed.run, []
    for path in [resumed.checkpoint] if resumed.checkpoint else run.checkpoints():
        try:
            content = read_checkpoint(path)
            refuse_incomplete(content, path, (*OF_A_TRAINING, "global_step"))
            break
        except DamagedError as damage:
            damaged.append(str(damage))
    else:
        if damaged:
            raise UserError("; ".join(damaged))
        say(f"resume {run.name}: it had no checkpoint yet, and begins anew")
        return None, 0
    for problem in damaged:
        logger.warning("WARNING: %s; resuming from %s", problem, path.name)
    changed = [f"{name} has changed" for name in run.changed_sources()]
    if not same_data(run.info.get("fingerprint", record["fingerprint"]), record["fingerprint"]):
        changed.append(f"the data is not that which {run.name} began with")
    for key, now in record["machine"].items():
        then = run.info.get("machine", {}).get(key, now)
        if then != now:
            changed.append(f"{key} was {then}, is {now}")
    state = resume_state(content)
    if state is None:
        changed.append(f"{path.name} has no random states")
    if changed:
        logger.warning("WARNING: not to the same bits: %s", printable("; ".join(changed)))
    say(f"resume {run.name} from {path.name}, step {content['global_step']}")
    return path.resolve(), state["next_log_step"] if state else content["global_step"]
