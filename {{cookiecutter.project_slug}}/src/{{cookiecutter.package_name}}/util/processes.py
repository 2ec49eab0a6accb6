"""Which of the processes of a training this one is, and what it leaves unsaid."""

from __future__ import annotations

import logging
import os
import warnings


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


def quieten() -> None:
    """Leaves out what Lightning says of every healthy run, with nothing for its user to do."""
    import pytorch_lightning  # noqa: F401  (sets its level when imported)

    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",  # for data in memory, workers are slower
        ".*is smaller than the logging interval",
        ".*your dataloader is not resumable",  # ours is, by other means
        ".*LeafSpec",  # Lightning's use of torch, not ours
        ".*could not find the monitored key",  # nothing is validated, so there is no best
        ".*but have no `validation_step`",  # likewise
        ".*You requested to overfit",
    ):
        warnings.filterwarnings("ignore", message=message)
