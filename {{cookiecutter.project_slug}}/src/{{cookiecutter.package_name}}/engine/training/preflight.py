"""Refuses what cannot train or be evaluated, in one line, before a run has a folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.checks import check_names, check_plug_ins, check_types, fits, listed
from ..config.compose import flat
from ..config.invocation import Invocation
from ..config.signatures import complete
from ..errors import UserError, refusals
from ..plugins import import_lightning, load
from ..processes import launched
from ..runs.files import plain, refuse_links, refuse_links_in
from ..runs.finding import find_run, run_of_checkpoint
from ..runs.folder import RunFolder
from ..runs.resumed_folder import ResumedFolder
from ..runs.stored import Run

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


def check_training(invocation: Invocation, config: dict[str, Any]) -> dict[str, Any]:
    """Refuses what cannot train; gives the run its observer.

    Args:
        invocation: of `train` or `reproduce`.
        config: its resolved configuration.

    Returns:
        what torchrun or SLURM has decided, for the configuration.

    Raises:
        UserError: names the argument and what it takes.
    """
    check_plug_ins(invocation.defaults, config)
    started = _started_elsewhere(invocation)
    config["trainer_args"].update(started)
    _check_ranges(config)
    changes, recorded = _changes(invocation, config)
    resumed = invocation.resumed
    finished = resumed and resumed.run.status == "COMPLETED" and not resumed.checkpoint
    if finished and not changes:
        raise UserError(
            f"{resumed.run.name} is complete: to train it further, say how far, as in "
            "trainer_args.max_epochs=10"
        )
    _check_arguments(config)
    from .monitor import check_monitor

    check_monitor(invocation, config)
    if resumed:
        invocation.resumed = replace(resumed, changes=changes)
        refuse_links_in(resumed.run.path)
    basedir = Path(config["log_dir"], config["model_name"])
    if resumed and resumed.run.status != "QUEUED":
        observer: RunFolder = ResumedFolder(resumed.run, changes, recorded)
    else:
        observer = RunFolder(basedir, resumed and resumed.run, recorded)
    invocation.experiment.observers[:] = [observer]
    return {"trainer_args": started}


def _started_elsewhere(invocation: Invocation) -> dict[str, int]:
    """What torchrun or SLURM has decided about the processes, where the user has not."""
    overrides = invocation.overrides.get("trainer_args", {})
    return {key: value for key, value in launched().items() if key not in overrides}


def _check_ranges(config: dict[str, Any]) -> None:
    if config["threads"] < 1:
        raise UserError(f"threads={config['threads']} does not fit: it takes 1 or more")
    if config["checkpoint_every_s"] < 0:
        raise UserError("checkpoint_every_s does not fit: it takes 0 or more seconds")
    patience = config["early_stopping_patience"]
    if patience is not None and patience < 0:
        raise UserError(f"early_stopping_patience={patience} does not fit: it takes 0 or more")


def _changes(
    invocation: Invocation, config: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What differs from the run that is resumed or reproduced, and the configuration to record.

    That is the run's as it was configured, with the changes: what its plug-ins resolved when the
    run began is in its info.json.
    """
    run: Run | None = invocation.reproduced
    if invocation.resumed:
        run = invocation.resumed.run
    if run is None:
        return {}, None
    before, now = flat(run.own_config()), flat(config)
    absent = object()
    changes = {key: value for key, value in now.items() if before.get(key, absent) != value}
    for name in ("log_dir", "run"):  # where it lies, and what `reproduce` calls it
        changes.pop(name, None)
    recorded = plain(**run.config)
    for key, value in changes.items():
        *groups, name = key.split(".")
        place = recorded
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return changes, recorded


def _check_arguments(config: dict[str, Any]) -> None:
    """What only the classes themselves can tell; imports torch."""
    import_lightning()
    from pytorch_lightning import Trainer

    from .trainer import make_trainer

    check_types("trainer_args", Trainer, config["trainer_args"])
    _check_loader_arguments(config)
    for kind in ("model", "dataset"):
        check_types(f"{kind}_args", load(kind, config[f"{kind}_name"]), config[f"{kind}_args"])
    given = config["callback_args"]
    for name in dict.fromkeys([*listed(config["callback_names"]), *given]):
        group, values = f"callback_args.{name}", given.get(name, {})
        check_types(group, load("callback", name), values)
        if name in listed(config["callback_names"]):
            complete(group, load("callback", name), values)
    if config["compile"]:
        from torch._inductor.cpp_builder import get_cpp_compiler

        with refusals("compile", (Exception,)):
            get_cpp_compiler()
    # What only these two refuse: an unknown accelerator, a negative batch size.
    with refusals("trainer_args", (Exception,)):
        trainer = make_trainer(None, [], config["trainer_args"])
    _check_nodes(trainer)


def _check_loader_arguments(config: dict[str, Any]) -> None:
    from torch.utils.data import DataLoader

    from ..contracts import SplitDataset
    from ..runs.data_module import refuse_without_loader

    cls, values = load("dataset", config["dataset_name"]), dict(config["dataloader_args"])
    if not issubclass(cls, SplitDataset):  # a LightningDataModule: they are its own
        check_types("dataloader_args", cls, values)
        if config["trainer_args"].get("limit_val_batches") != 0:
            refuse_without_loader(
                cls,
                "val",
                "; train without validation by trainer_args.limit_val_batches=0 monitor=train_loss",
            )
        return
    balanced = values.pop("balanced", None)
    if not fits(balanced, bool | None):
        raise UserError(f"dataloader_args.balanced={balanced!r} does not fit: it takes bool")
    check_types("dataloader_args", DataLoader, values)
    with refusals("dataloader_args", (Exception,)):
        DataLoader(range(1), **values)  # type: ignore[arg-type]  # a sequence will do


def _check_nodes(trainer: Trainer) -> None:
    """Refuses several machines where nothing says which: the first would wait for the others."""
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    # Lightning falls back to this one where it detects no launcher (torchrun, SLURM, LSF, MPI,
    # XLA: `_choose_and_init_cluster_environment`, 2.6.6). It reads these variables, and without
    # them takes its own machine for the first (`LightningEnvironment.main_address`).
    environment = getattr(trainer.strategy, "cluster_environment", None)
    is_alone = isinstance(environment, LightningEnvironment) and "MASTER_ADDR" not in os.environ
    if is_alone and trainer.num_nodes > 1:
        raise UserError(
            f"trainer_args.num_nodes={trainer.num_nodes}: nothing says where the other nodes are: "
            "start the training by torchrun or srun, or on each of them with MASTER_ADDR, "
            "MASTER_PORT and NODE_RANK set"
        )


def check_evaluation(invocation: Invocation, config: dict[str, Any]) -> None:
    """Refuses what cannot be evaluated; finds the run, and gives the evaluation its observer.

    Raises:
        UserError: there is no such run, class or argument.
    """
    observers = invocation.experiment.observers
    observers[:] = []
    if config["runs"]:  # which makes an evaluation of its own for each
        return
    if config["checkpoint_path"]:
        run = run_of_checkpoint(config["checkpoint_path"])
    else:
        run = find_run(config["log_dir"], config["run"], config["model_name"])
        run.checkpoint()
    dataset_name, evaluator_name = run.config["dataset_name"], config["evaluator_name"]
    check_names("dataset_args", config["dataset_args"], dataset_name)
    model_name = run.model_name
    check_names("model_args", config["model_args"], model_name)
    import_lightning()
    check_types("model_args", load("model", model_name), config["model_args"])
    from ..contracts import SplitDataset
    from ..runs.data_module import refuse_without_loader

    dataset_class = load("dataset", dataset_name)
    check_types("dataset_args", dataset_class, config["dataset_args"])
    if not issubclass(dataset_class, SplitDataset):
        refuse_without_loader(dataset_class, "test")
    check_types("evaluator_args", load("evaluator", evaluator_name), config["evaluator_args"])
    refuse_links(run.path / "evaluations")
    invocation.evaluated = run
    observers[:] = [RunFolder(run.path / "evaluations", evaluated=run.path)]
