"""What `evaluate` takes from the run that it means, before that is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .finding import find_run, run_of_checkpoint


def evaluated_classes(config: Mapping[str, Any]) -> dict[str, str]:
    """Model and dataset of the run that `evaluate` means; empty where there is no such run."""
    if config["runs"]:  # one by one
        return {}
    try:
        if config["checkpoint_path"]:
            run = run_of_checkpoint(config["checkpoint_path"])
        else:
            run = find_run(config["log_dir"], config["run"], config["model_name"])
    except UserError:
        return {}
    return {"model_name": run.model_name, "dataset_name": run.config["dataset_name"]}
