"""The plot: what happens between typing `train` or `evaluate` and the result.

Both commands are installed as such; `python -m <package>.runner train` does the same where the
names are taken by another project. torch and Lightning are imported inside the functions, so that
help and refusals are quick.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

from .eval_config import evaluation_ex
from .train_config import train_ex
from .util.checks import check_configuration, check_names, check_types, complete, prepare_dataset
from .util.experiment import Interrupted, StrictExperiment, UserError, refusals, unknown
from .util.loading import load
from .util.runs import Run, RunFolder, find_run, plain, run_of_checkpoint


@train_ex.main
def train(
    model_name: str,
    model_args: dict,
    dataset_name: str,
    dataset_args: dict,
    dataloader_args: dict,
    trainer_args: dict,
    monitor: str,
    monitor_mode: Literal["min", "max"],
    early_stopping_patience: int | None,
    log_dir: str,
    seed: int,
) -> dict[str, float]:
    """Trains the configured model on the configured dataset and stores everything of the run."""
    import pytorch_lightning as pl

    from .callbacks import epoch_metrics, make_callbacks
    from .util.data import DataModule

    pl.seed_everything(seed, workers=True, verbose=False)
    folder = _folder(train_ex, Path(log_dir, model_name))

    dataset_class = load("dataset", dataset_name)
    dataset_args = prepare_dataset(dataset_class, dataset_args)
    with refusals(f"dataset_args: {dataset_name}"):
        train_set, val_set = (dataset_class(split, **dataset_args) for split in ("train", "val"))
    data = train_set.describe()
    _say(f"data   {dataset_name}: {_listed(data)}")

    model_class = load("model", model_name)
    model_args = complete("model_args", model_class, model_args, known_by=train_set)
    with refusals(f"model_args: {model_name}"):
        model = model_class(**model_args)
    _say(f"model  {model_name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    train_ex.info.update(plain(model_args=model_args, dataset_args=dataset_args, data=data))

    callbacks = make_callbacks(
        folder, trainer_args, monitor, monitor_mode, early_stopping_patience, train_ex.log_scalar
    )
    trainer = _trainer(folder, callbacks, trainer_args)
    with _stopping(trainer), _lightnings_refusals():
        trainer.fit(model, datamodule=DataModule(train_set, val_set, dataloader_args, seed))
    if trainer_args.get("profiler"):
        _say(_profile(trainer.profiler))
        if folder and trainer.is_global_zero:
            (folder / "profile.txt").write_text(trainer.profiler.summary(), encoding="utf-8")

    metrics = epoch_metrics(trainer)
    best = trainer.checkpoint_callback and trainer.checkpoint_callback.best_model_score
    if best is not None:
        metrics[f"best_{monitor}"] = float(best)
        _say(f"done   best {monitor} {best:.4f}")
    if folder:
        _say(f"run    {folder.parent.name}/{folder.name}, stored in {folder}")
    return metrics


@evaluation_ex.main
def evaluate(
    run: str | int,
    checkpoint_path: str | None,
    model_name: str,
    dataset_args: dict,
    evaluator_name: str,
    evaluator_args: dict,
    device: str,
    log_dir: str,
    seed: int,
) -> dict[str, float]:
    """Evaluates a stored run on the test split; model and dataset are rebuilt from its record."""
    import pytorch_lightning as pl
    import torch

    pl.seed_everything(seed, workers=True, verbose=False)
    stored: Run = evaluation_ex.stored_run
    checkpoint = Path(checkpoint_path) if checkpoint_path else stored.checkpoint()
    _say(f"run    {stored.name} ({stored.status}), {checkpoint.name}")

    dataset_class = load("dataset", stored.config["dataset_name"])
    recorded = stored.info.get("dataset_args", stored.config["dataset_args"])
    dataset_args = prepare_dataset(dataset_class, recorded | dataset_args)
    with refusals(f"dataset_args: {dataset_class.__name__}"):
        dataset = dataset_class("test", **dataset_args)
    data = dataset.describe()
    _say(f"data   {dataset_class.__name__}, test split: {_listed(data)}")

    for name, value in stored.info.get("model_args", {}).items():
        wired = name not in stored.config["model_args"] and hasattr(dataset, name)
        if wired and plain(now=getattr(dataset, name)) != {"now": value}:
            raise UserError(
                f"dataset_args: {name} is {getattr(dataset, name)!r} now, but {stored.name} was "
                f"trained with {value!r}"
            )
    model = _load_model(stored, checkpoint)
    with refusals(f"device={device!r}"):
        if device == "auto":
            device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
        model = model.to(device).eval()

    evaluator_class = load("evaluator", evaluator_name)
    with refusals(f"evaluator_args: {evaluator_name}"):
        evaluator = evaluator_class(**complete("evaluator_args", evaluator_class, evaluator_args))
    evaluation_ex.info.update(
        plain(run=stored.name, checkpoint=str(checkpoint), dataset_args=dataset_args, data=data)
    )
    with contextlib.ExitStack() as stack:
        folder = _folder(evaluation_ex)
        evaluator.folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(torch.inference_mode())
        results = evaluator.evaluate(model, dataset)
    results = {key: float(value) for key, value in results.items()}
    width = max(map(len, results), default=0)
    _say("\n".join(f"{key:<{width}}  {value:.4f}" for key, value in results.items()))
    if folder:
        text = json.dumps(results, indent=2) + "\n"
        (folder / "results.json").write_text(text, encoding="utf-8")
        _say(f"done   stored in {folder}")
    return results


@train_ex.config_hook
def _check_training(config, command_name, logger):
    """Refuses what cannot train, in one line, before the run has a folder."""
    check_configuration(train_ex, train.__wrapped__, config)
    if command_name != "train":
        return
    patience = config["early_stopping_patience"]
    if patience is not None and patience < 0:
        raise UserError(f"early_stopping_patience={patience} does not fit: it takes 0 or more")
    from pytorch_lightning import Trainer
    from torch.utils.data import DataLoader

    _quieten()
    for group, cls in (("trainer_args", Trainer), ("dataloader_args", DataLoader)):
        check_types(group, cls, config[group])
    for role in ("model", "dataset"):
        check_types(f"{role}_args", load(role, config[f"{role}_name"]), config[f"{role}_args"])
    # What these two refuse by themselves: an unknown accelerator, a negative batch size.
    with refusals("trainer_args", (Exception,)):
        _trainer(None, [], config["trainer_args"])
    with refusals("dataloader_args", (Exception,)):
        DataLoader(range(1), **config["dataloader_args"])
    train_ex.observers[:] = [RunFolder(Path(config["log_dir"], config["model_name"]))]


@evaluation_ex.config_hook
def _check_evaluation(config, command_name, logger):
    """Refuses what cannot be evaluated, in one line, before anything is written."""
    check_configuration(evaluation_ex, evaluate.__wrapped__, config)
    if command_name != "evaluate":
        return
    if config["checkpoint_path"]:
        run = run_of_checkpoint(config["checkpoint_path"])
    else:
        run = find_run(config["log_dir"], config["run"], config["model_name"])
        run.checkpoint()
    dataset_name, evaluator_name = run.config["dataset_name"], config["evaluator_name"]
    check_names("dataset_args", config["dataset_args"], dataset_name)
    _quieten()
    check_types("dataset_args", load("dataset", dataset_name), config["dataset_args"])
    check_types("evaluator_args", load("evaluator", evaluator_name), config["evaluator_args"])
    evaluation_ex.stored_run = run
    evaluation_ex.observers[:] = [RunFolder(run.path / "evaluations")]


def _trainer(folder: Path | None, callbacks: list, trainer_args: dict):
    """Lightning's Trainer: our defaults, then whatever the configuration says."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.loggers import TensorBoardLogger

    ours = {
        "callbacks": callbacks,
        "default_root_dir": folder,
        "use_distributed_sampler": False,  # the loaders know their rank
    }
    if not trainer_args.get("barebones"):  # which takes none of these
        ours |= {
            "logger": TensorBoardLogger(folder, name="", version="") if folder else False,
            "enable_checkpointing": bool(folder),
            "enable_model_summary": False,
        }
    asked = dict(trainer_args)
    if asked.get("logger") in (None, True):  # what a run has anyway
        asked.pop("logger", None)
    return Trainer(**(ours | asked))


def _profile(profiler) -> str:
    """The costliest actions of Lightning's simple profiler; other profilers speak themselves."""
    durations = getattr(profiler, "recorded_durations", None)
    if not durations:
        return profiler.summary()
    totals = sorted(((sum(times), name) for name, times in durations.items()), reverse=True)
    lines = [f"{'seconds':>8}  {'calls':>6}  action (they contain each other; all: profile.txt)"]
    lines += [
        f"{total:8.3f}  {len(durations[name]):6d}  {name[:70]}" for total, name in totals[:20]
    ]
    return "\n".join(lines)


def _load_model(stored: Run, checkpoint: Path):
    """The trained model; only weights and plain values are read from the checkpoint."""
    import torch

    model_class = load("model", stored.path.parent.name)
    try:  # by itself first: a damaged file and one that does not fit raise the same errors
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(
            f"{checkpoint} is not loaded: it is damaged, or holds objects that could run code; "
            f"checkpoints hold weights and plain values only ({error})"
        ) from error
    except (RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
        raise UserError(f"{checkpoint} is damaged: {error or 'it is empty'}") from error
    try:
        return model_class.load_from_checkpoint(
            checkpoint, map_location="cpu", weights_only=True, **stored.info.get("model_args", {})
        )
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"{checkpoint} does not fit {model_class.__name__} as it is now; the sources that it "
            f"was trained with are in {stored.path}/sources ({error})"
        ) from error


def _folder(ex: StrictExperiment, elsewhere: Path | None = None) -> Path | None:
    """The run's folder, or None for a run that is not stored (`-u`).

    Only rank zero knows the folder, and writes. The other ranks need the same callbacks, which
    Lightning then tells rank zero's folder: `elsewhere` is a stand-in.
    """
    observers = ex.current_run.observers
    if observers:
        return Path(observers[0].dir)
    return elsewhere if ex.stored else None


@contextlib.contextmanager
def _stopping(trainer):
    """Ctrl-C and SIGTERM end the training between two batches; the run is then INTERRUPTED."""
    # Lightning stops on SIGTERM between two batches, but on Ctrl-C within one.
    before = signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    except SystemExit:  # how Lightning ends on SIGTERM
        raise Interrupted(f"train was stopped at step {trainer.global_step}") from None
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _lightnings_refusals():
    """What Lightning and the optimizer find wrong with their arguments only when it starts."""
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    with (
        refusals("trainer_args", (MisconfigurationException,)),
        refusals("trainer_args", (ValueError, RuntimeError), raised_in="pytorch_lightning"),
        refusals("model_args", (ValueError,), raised_in=str(Path("torch", "optim"))),
    ):
        yield


def _quieten() -> None:
    """Leaves out what Lightning says of every healthy run, with nothing for its user to do."""
    import pytorch_lightning  # noqa: F401  (sets its level when imported)

    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers",  # for data in memory, workers are slower
        ".*is smaller than the logging interval",
        ".*LeafSpec",  # Lightning's use of torch, not ours
        ".*could not find the monitored key",  # nothing is validated, so there is no best
        ".*but have no `validation_step`",  # likewise
        ".*You requested to overfit",
    ):
        warnings.filterwarnings("ignore", message=message)


def _listed(facts: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def _say(text: str) -> None:
    from pytorch_lightning.utilities import rank_zero_only

    if rank_zero_only.rank == 0:
        print(text, flush=True)


def train_command() -> None:
    """The console command `train`."""
    train_ex.run_commandline()


def evaluate_command() -> None:
    """The console command `evaluate`."""
    evaluation_ex.run_commandline()


if __name__ == "__main__":
    experiments = {"train": train_ex, "evaluate": evaluation_ex}
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in experiments:
        sys.exit(f"UserError: {unknown('command', command, experiments)}")
    experiments[command].run_commandline([command, *sys.argv[2:]])
