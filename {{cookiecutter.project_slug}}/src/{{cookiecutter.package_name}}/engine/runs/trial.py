"""Trial runs: trainings that were to show that something runs, not to be the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trial_setting(trainer_args: Mapping[str, Any], batches: Mapping[str, int | None]) -> str:
    """The setting that leaves out a part of the data, as on the command line; "" if none does.

    Args:
        trainer_args: as configured.
        batches: how many the whole of "train" and "val" has, as far as is known: a limit that is
            not below leaves out nothing.
    """
    for key in ("fast_dev_run", "overfit_batches"):
        if trainer_args.get(key):
            return f"trainer_args.{key}={trainer_args[key]}"
    for split in ("train", "val"):
        key, whole = f"limit_{split}_batches", batches.get(split)
        limit = trainer_args.get(key)
        if limit is None or (isinstance(limit, float) and limit >= 1):
            continue  # a share: of everything
        if isinstance(limit, float) or whole is None or limit < whole:
            return f"trainer_args.{key}={limit}"
    return ""
