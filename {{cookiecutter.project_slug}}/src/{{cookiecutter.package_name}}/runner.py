"""The plot: what happens between typing `train` or `evaluate` and the result.

Both commands are installed as such; `python -m <package>.runner train` does the same where the
names are taken by another project. torch and Lightning are imported inside the functions, so that
help and refusals are quick.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import tempfile
import threading
from datetime import datetime, timezone
from multiprocessing import active_children
from pathlib import Path
from typing import Literal

from . import overview
from .eval_config import evaluation_ex
from .train_config import train_ex
from .util.checks import check_configuration, check_names, check_types, complete, prepare_dataset
from .util.compare import write_per_example
from .util.experiment import Interrupted, StrictExperiment, UserError, refusals, unknown
from .util.loading import import_lightning, load
from .util.processes import launched, say
from .util.record import RunFolder, fingerprint, machine, plain, write_json
from .util.resume import basis, starting_point
from .util.runs import Run, all_runs, find_run, flat, run_of_checkpoint


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
    checkpoint_every_s: float,
    resume: str | int | None,
    log_dir: str,
    seed: int,
    threads: int,
    compile: bool,
) -> dict[str, float]:
    """Trains the configured model on the configured dataset and stores everything of the run."""
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader

    from .callbacks import SpeedReport, epoch_metrics, make_callbacks, skip_empty_hooks, together
    from .util.data import DataModule

    pl.seed_everything(seed, workers=True, verbose=False)
    _use_threads(threads)
    folder = _folder(train_ex, Path(log_dir, model_name))

    dataset_class = load("dataset", dataset_name)
    dataset_args = prepare_dataset(dataset_class, dataset_args)
    with refusals(f"dataset_args: {dataset_name}"):
        train_set, val_set = (dataset_class(split, **dataset_args) for split in ("train", "val"))
    data = train_set.describe()
    say(f"data   {dataset_name}: {_listed(data)}")

    model_class = load("model", model_name)
    model_args = complete("model_args", model_class, model_args, known_by=train_set)
    with refusals(f"model_args: {model_name}"):
        model = model_class(**model_args)
    say(f"model  {model_name}: {sum(p.numel() for p in model.parameters()):,} parameters")
    record = plain(
        model_args=model_args,
        dataset_args=dataset_args,
        dataloader_args=complete("dataloader_args", DataLoader, dataloader_args),
        trainer_args=complete("trainer_args", pl.Trainer, trainer_args),
        data=data,
        fingerprint=fingerprint(train_set.files()),
        machine=machine(),
    )
    train_ex.info.update(record)
    if train_ex.current_run.observers:
        write_json(folder / "info.json", record)  # now, not with the first heartbeat

    callbacks = make_callbacks(
        folder,
        trainer_args,
        monitor,
        monitor_mode,
        early_stopping_patience,
        checkpoint_every_s,
        compile,
        train_ex.log_scalar,
    )
    start, logged = starting_point(train_ex.resumed, record) if train_ex.resumed else (None, None)
    trainer = _trainer(folder, callbacks, trainer_args, logged)
    skip_empty_hooks(trainer, model)
    data_module = DataModule(train_set, val_set, dataloader_args, seed)
    end_together = together(trainer, _record_failure)
    with _stopping(trainer), _lightnings_refusals(), _disk_problems(folder), end_together:
        trainer.fit(model, data_module, ckpt_path=start, weights_only=True if start else None)
    if trainer_args.get("profiler"):
        say(_profile(trainer.profiler))
        if folder and trainer.is_global_zero:
            (folder / "profile.txt").write_text(trainer.profiler.summary(), encoding="utf-8")
    for callback in callbacks:
        if isinstance(callback, SpeedReport):
            train_ex.info["speed"] = callback.report

    metrics = epoch_metrics(trainer)
    if (best := metrics.get(f"best_{monitor}")) is not None:
        say(f"done   best {monitor} {best:.4f}")
    if folder:
        say(f"run    {folder.parent.name}/{folder.name}, stored in {folder}")
    return metrics


@train_ex.command
def reproduce() -> dict[str, bool]:
    """Trains a stored run again (with run=3), and says whether the result is the same."""
    from .util.reproduce import comparison

    train()
    folder, stored = _folder(train_ex), train_ex.reproduced
    train_ex.info["reproduces"] = stored.name
    identical, lines = comparison(stored, folder, train_ex.info)
    say("\n".join(lines))
    return {"identical": identical}


@evaluation_ex.main
def evaluate(
    run: str | int,
    runs: Literal["all"] | None,
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
    if runs:
        return _evaluate_all(log_dir, evaluator_name)
    import pytorch_lightning as pl
    import torch

    pl.seed_everything(seed, workers=True, verbose=False)
    stored: Run = evaluation_ex.stored_run
    _use_threads(stored.config.get("threads"))
    checkpoint = Path(checkpoint_path) if checkpoint_path else stored.checkpoint()
    say(f"run    {stored.name} ({stored.status}), {checkpoint.name}")

    dataset_class = load("dataset", stored.config["dataset_name"])
    recorded = stored.info.get("dataset_args", stored.config["dataset_args"])
    dataset_args = prepare_dataset(dataset_class, recorded | dataset_args)
    with refusals(f"dataset_args: {dataset_class.__name__}"):
        dataset = dataset_class("test", **dataset_args)
    data = dataset.describe()
    say(f"data   {dataset_class.__name__}, test split: {_listed(data)}")

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
        plain(
            run=stored.name,
            checkpoint=str(checkpoint),
            dataset_args=dataset_args,
            data=data,
            fingerprint=fingerprint(dataset.files()),
        )
    )
    with contextlib.ExitStack() as stack:
        folder = _folder(evaluation_ex)
        evaluator.folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(torch.inference_mode())
        results = evaluator.evaluate(model, dataset)
    results = {key: float(value) for key, value in results.items()}
    width = max(map(len, results), default=0)
    say("\n".join(f"{key:<{width}}  {value:.4f}" for key, value in results.items()))
    if folder:
        if evaluator.per_example:
            write_per_example(folder / "per_example.csv", evaluator.per_example)
        write_json(folder / "results.json", results)
        say(f"done   stored in {folder}")
    return results


def _evaluate_all(log_dir: str, evaluator_name: str) -> dict[str, float]:
    """Evaluates every finished run that has no evaluation by this evaluator."""
    asked = {key: value for key, value in evaluation_ex.asked.items() if key != "runs"}
    done, refused = 0, 0
    for run in all_runs(log_dir):
        if run.status != "COMPLETED" or evaluator_name in run.evaluators():
            continue
        try:
            evaluation_ex.run("evaluate", config_updates=asked | {"run": run.name})
            done += 1
        except UserError as refusal:
            print(f"{run.name} is not evaluated: {refusal}", file=sys.stderr)
            refused += 1
        print()
    print(f"done   {done} runs evaluated by {evaluator_name}, {refused} refused")
    if refused:
        raise UserError(f"{refused} of {done + refused} runs could not be evaluated")
    return {"evaluated": done}


train_ex.basis = basis


@train_ex.config_hook
def _check_training(config, command_name, logger):
    """Refuses what cannot train, in one line, before the run has a folder."""
    check_configuration(train_ex, train.__wrapped__, config)
    if command_name not in ("train", "reproduce"):
        return
    config["trainer_args"].update(started := _started_elsewhere())
    if config["threads"] < 1:
        raise UserError(f"threads={config['threads']} does not fit: it takes 1 or more")
    if config["checkpoint_every_s"] < 0:
        raise UserError("checkpoint_every_s does not fit: it takes 0 or more seconds")
    resumed, stored, changes, recorded = train_ex.resumed, train_ex.reproduced, {}, None
    if resumed or stored:
        stored = stored or resumed.run
        basis, now = flat(stored.own_config()), flat(config)
        changes = {key: now[key] for key in now if now[key] != basis.get(key, basis)}
        changes.pop("log_dir", None)
        # As it was configured: what was settled when the run began is in its info.json.
        recorded = plain(**stored.config)
        for key, value in changes.items():
            group, _, name = key.rpartition(".")
            (recorded.setdefault(group, {}) if group else recorded)[name] = value
    finished = resumed and resumed.run.status == "COMPLETED" and not resumed.checkpoint
    if finished and not changes:
        raise UserError(
            f"{resumed.run.name} is complete: to train it further, say how far, as in "
            "trainer_args.max_epochs=10"
        )
    patience = config["early_stopping_patience"]
    if patience is not None and patience < 0:
        raise UserError(f"early_stopping_patience={patience} does not fit: it takes 0 or more")
    import_lightning()
    from pytorch_lightning import Trainer
    from torch.utils.data import DataLoader

    for group, cls in (("trainer_args", Trainer), ("dataloader_args", DataLoader)):
        check_types(group, cls, config[group])
    for role in ("model", "dataset"):
        check_types(f"{role}_args", load(role, config[f"{role}_name"]), config[f"{role}_args"])
    if config["compile"]:
        from torch._inductor.cpp_builder import get_cpp_compiler

        with refusals("compile", (Exception,)):
            get_cpp_compiler()
    # What these two refuse by themselves: an unknown accelerator, a negative batch size.
    with refusals("trainer_args", (Exception,)):
        _trainer(None, [], config["trainer_args"])
    with refusals("dataloader_args", (Exception,)):
        DataLoader(range(1), **config["dataloader_args"])
    basedir = Path(config["log_dir"], config["model_name"])
    train_ex.observers[:] = [RunFolder(basedir, resumed and resumed.run, changes, recorded)]
    return {"trainer_args": started}


def _started_elsewhere() -> dict[str, int]:
    """What torchrun or SLURM has decided about the processes, where the command line has not."""
    asked = train_ex.asked.get("trainer_args", {})
    return {key: value for key, value in launched().items() if key not in asked}


@evaluation_ex.config_hook
def _check_evaluation(config, command_name, logger):
    """Refuses what cannot be evaluated, in one line, before anything is written."""
    if command_name in overview.COMMANDS:
        overview.check_looking(overview.COMMANDS[command_name], config)
        return
    check_configuration(evaluation_ex, evaluate.__wrapped__, config)
    if command_name != "evaluate":
        return
    evaluation_ex.observers[:] = []
    if config["runs"]:  # which makes an evaluation of its own for each
        return
    if config["checkpoint_path"]:
        run = run_of_checkpoint(config["checkpoint_path"])
    else:
        run = find_run(config["log_dir"], config["run"], config["model_name"])
        run.checkpoint()
    dataset_name, evaluator_name = run.config["dataset_name"], config["evaluator_name"]
    check_names("dataset_args", config["dataset_args"], dataset_name)
    import_lightning()
    check_types("dataset_args", load("dataset", dataset_name), config["dataset_args"])
    check_types("evaluator_args", load("evaluator", evaluator_name), config["evaluator_args"])
    evaluation_ex.stored_run = run
    evaluation_ex.observers[:] = [RunFolder(run.path / "evaluations")]


def _trainer(folder: Path | None, callbacks: list, trainer_args: dict, logged: int | None = None):
    """Lightning's Trainer: our defaults, then whatever the configuration says.

    Args:
        folder: of the run; None: nothing is logged.
        callbacks: of the run.
        trainer_args: as configured.
        logged: first step that is to be logged; what TensorBoard has from there on is replaced.
    """
    from pytorch_lightning import Trainer
    from pytorch_lightning.loggers import TensorBoardLogger

    from .callbacks import NoProfiler
    from .util.checkpoints import AtomicCheckpointIO

    ours = {
        "callbacks": callbacks,
        "default_root_dir": folder,
        "use_distributed_sampler": False,  # the loaders know their rank
    }
    if not trainer_args.get("barebones"):  # which takes none of these
        curves = {"save_dir": folder, "name": "", "version": "", "default_hp_metric": False}
        ours |= {
            "logger": TensorBoardLogger(**curves, purge_step=logged) if folder else False,
            "enable_model_summary": False,
            "plugins": [AtomicCheckpointIO()],
            "profiler": NoProfiler(),
        }
    asked = {k: v for k, v in trainer_args.items() if k != "enable_checkpointing"}  # `Checkpoints`
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
    from .util.checkpoints import read_checkpoint

    model_class = load("model", stored.path.parent.name)
    read_checkpoint(checkpoint)  # by itself first: a misfit raises the same errors as damage
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


def _use_threads(number: int | None) -> None:
    """Limits what torch computes with in this process and those that it starts."""
    import torch

    if number:  # a run of an earlier version has none
        torch.set_num_threads(number)
        os.environ["OMP_NUM_THREADS"] = str(number)


def _record_failure(why: str) -> None:
    """Makes the run FAILED when this process has no other way left to end."""
    for observer in train_ex.current_run.observers:
        observer.failed_event(datetime.now(timezone.utc).replace(tzinfo=None), [why])
    print(why, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _stopping(trainer):
    """Ctrl-C and SIGTERM make the run INTERRUPTED also before and without `Checkpoints`."""

    def stop(*_):
        if spawned := [p for p in active_children() if p.name.startswith("Spawn")]:
            for process in spawned:  # which save, stop, and thereby end this one
                process.terminate()
            return
        # Lightning, while it has taken over, calls this as well: it stops by itself. When the
        # last step is done there is nothing left to stop, and the record is to be complete.
        # A training that is failing has nothing to stop either.
        ended = getattr(trainer.checkpoint_callback, "ended", False) or trainer.interrupted
        if signal.getsignal(signal.SIGTERM) is stop and not ended:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, stop)
    # Lightning stops on SIGTERM between two batches, but on Ctrl-C within one.
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    except SystemExit:  # how Lightning ends on SIGTERM
        raise Interrupted(f"train was stopped at step {trainer.global_step}") from None
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


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


@contextlib.contextmanager
def _disk_problems(folder: Path | None):
    """A disk that is full, read-only or gone is no bug."""
    before = threading.excepthook
    # TensorBoard writes in a thread of its own, and its trouble reaches us as well.
    threading.excepthook = lambda told: issubclass(told.exc_type, OSError) or before(told)
    try:
        yield
    except OSError as error:
        known = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
        if not folder or (error.errno not in known and folder.is_dir()):
            raise
        raise UserError(
            f"{folder} could not be written ({error}); checkpoints saved before are kept"
        ) from error
    finally:
        threading.excepthook = before


def _listed(facts: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def train_command(argv: list[str] | None = None) -> None:
    """The console command `train`; exit status 1 also for a run that is not reproduced."""
    run = train_ex.run_commandline(argv)
    if run and run.result and run.result.get("identical") is False:
        sys.exit(1)


def evaluate_command(argv: list[str] | None = None) -> None:
    """The console command `evaluate`."""
    evaluation_ex.run_commandline(argv)


if __name__ == "__main__":
    programs = {"train": train_command, "evaluate": evaluate_command}
    program = sys.argv[1] if len(sys.argv) > 1 else ""
    if program not in programs:
        sys.exit(f"UserError: {unknown('command', program, programs)}")
    programs[program](sys.argv[1:])  # which stays as it is: in DDP, Lightning starts it again
