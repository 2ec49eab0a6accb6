"""From where a training goes on: which stored run a command means, and which checkpoint of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ..train_config import train_ex
from .experiment import UserError
from .processes import rank, say
from .runs import Run, find_run, lock, run_of_checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resumed:
    """A run that goes on: from one of its checkpoints, or from the newest sound one."""

    run: Run
    checkpoint: Path | None


def basis(command_name: str, asked: dict) -> dict | None:
    """The configuration of the run that is resumed or reproduced; None for any other command."""
    train_ex.resumed = train_ex.reproduced = None
    defaults = train_ex.configurations[0].defaults
    named = {key: asked.get(key, defaults[key]) for key in ("log_dir", "model_name")}
    if command_name == "reproduce":
        if "run" not in asked:
            raise UserError("reproduce what? write `train reproduce with run=3`")
        run = train_ex.reproduced = find_run(run=asked.pop("run"), **named)
        if also := sorted(asked.keys() - {"log_dir"}):
            raise UserError(f"{also[0]}: a run is reproduced with its own configuration")
        if run.status != "COMPLETED":
            raise UserError(f"{run.name} is {run.status}: only a finished run can be reproduced")
        return run.own_config() | {"log_dir": named["log_dir"]}
    wanted = asked.get("resume", defaults["resume"])
    if wanted is None:
        return None
    checkpoint = None
    if str(wanted).endswith(".ckpt"):
        checkpoint = Path(wanted)
        run = run_of_checkpoint(wanted)
    else:
        run = find_run(run="newest" if wanted == "last" else wanted, **named)
    if asked.get("model_name", run.config["model_name"]) != run.config["model_name"]:
        raise UserError(f"model_name: {run.name} goes on as {run.config['model_name']}")
    if rank() == 0 and run.status == "RUNNING":
        lock(run.path).close()  # refuses, and names the process that has it
    train_ex.resumed = Resumed(run, checkpoint)
    return run.own_config() | {"log_dir": str(run.path.parent.parent), "resume": wanted}


def starting_point(resumed: Resumed, record: dict) -> tuple[Path | None, int]:
    """The checkpoint to go on from, and the first step that is to be logged from there.

    Returns:
        (None, 0) if the run was stopped before its first checkpoint: it begins anew.

    Raises:
        UserError: the checkpoint that was asked for is damaged, or all of the run's are.
    """
    from .checkpoints import DamagedError, read_checkpoint

    run, damaged = resumed.run, []
    for path in [resumed.checkpoint] if resumed.checkpoint else run.checkpoints():
        try:
            content = read_checkpoint(path)
            break
        except DamagedError as problem:
            damaged.append(str(problem))
    else:
        if damaged:
            raise UserError("; ".join(damaged))
        say(f"resume {run.name}: it had no checkpoint yet, and begins anew")
        return None, 0
    for problem in damaged:
        logger.warning("WARNING: %s; resuming from %s", problem, path.name)
    changed = [f"{name} has changed" for name in run.changed_sources()]
    if run.info.get("fingerprint", record["fingerprint"]) != record["fingerprint"]:
        changed.append(f"the data is not that which {run.name} began with")
    for key, now in record["machine"].items():
        then = run.info.get("machine", {}).get(key, now)
        if then != now:
            changed.append(f"{key} was {then}, is {now}")
    if "exact" not in content:
        changed.append(f"{path.name} has no random states")
    if changed:
        logger.warning("WARNING: not to the same bits: %s", "; ".join(changed))
    say(f"resume {run.name} from {path.name}, step {content['global_step']}")
    logged = content.get("exact", {}).get("next_log_step", content["global_step"])
    return path.resolve(), logged
