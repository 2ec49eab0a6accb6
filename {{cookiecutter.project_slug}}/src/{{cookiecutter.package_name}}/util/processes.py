"""Which of the processes of a training this one is; without importing torch."""

from __future__ import annotations

import os


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
    """Prints for the person at the terminal, once for all processes."""
    if rank() == 0:
        print(text, flush=True)
