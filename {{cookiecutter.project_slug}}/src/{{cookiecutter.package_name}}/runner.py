"""The plot: what happens between typing `train` or `evaluate` and the result.

Both commands are installed as such; `python -m <package>.runner train` does the same where the
names are taken by another project. torch and Lightning are imported inside the functions, so that
help and refusals are quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from .engine.commands.clean import clean
from .engine.commands.compare import compare
from .engine.commands.completion import complete_words, completion
from .engine.commands.evaluate_all import evaluate_all
from .engine.commands.help import help_for
from .engine.commands.reproduce import reproduce
from .engine.commands.runs import runs
from .engine.config.invocation import current
from .engine.errors import unknown
from .engine.processes import say, use_threads
from .engine.runs.evaluated import evaluated_classes
from .engine.runs.files import shown
from .engine.runs.folder import run_folder, store_record
from .engine.runs.resume import starting_point, stored_basis
from .engine.runs.resumed_folder import refuse_idle
from .engine.training.preflight import check_evaluation, check_training
from .eval_config import evaluation_ex
from .train_config import train_ex


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
    callback_names: list[str] | str,
    callback_args: dict[str, dict],
    resume: str | int | None,
    log_dir: str,
    seed: int,
    threads: int,
    compile: bool,
) -> dict[str, float]:
    """Trains the configured model on the configured dataset and stores everything of the run."""
    import pytorch_lightning as pl

    from .engine.runs.building import count_parameters, in_words, make_model, make_splits
    from .engine.training.attach import make_callbacks, make_own_callbacks
    from .engine.training.own_loaders import training_data
    from .engine.training.report import report_training, training_record
    from .engine.training.stopping import StopRequest, stoppable, together
    from .engine.training.trainer import explained, fit, make_trainer

    pl.seed_everything(seed, workers=True, verbose=False)
    use_threads(threads)
    invocation = current()
    folder = run_folder(invocation, Path(log_dir, model_name))

    arguments = dataset_args, dataloader_args, seed
    dataset_args, (train_set, val_set) = make_splits(dataset_name, *arguments, "train", "val")
    say(f"data   {dataset_name}: {in_words(train_set)}")
    model_args, model = make_model(model_name, model_args, train_set)
    say(f"model  {model_name}: {count_parameters(model)} parameters")
    record = training_record(train_set, model_args, dataset_args, dataloader_args, trainer_args)
    store_record(invocation, record)
    start, first_logged_step = starting_point(invocation.resumed, record)
    stop = StopRequest()
    callbacks = make_callbacks(
        own=make_own_callbacks(callback_names, callback_args),
        folder=folder,
        trainer_args=trainer_args,
        monitor=monitor,
        monitor_mode=monitor_mode,
        early_stopping_patience=early_stopping_patience,
        checkpoint_every_s=checkpoint_every_s,
        compile_model=compile,
        stop=stop,
        invocation=invocation,
    )
    trainer = make_trainer(folder, callbacks, trainer_args, first_logged_step)
    with stoppable(trainer, stop), explained(folder), together(trainer, invocation):
        fit(trainer, model, training_data(train_set, val_set, dataloader_args, seed), start)
    refuse_idle(invocation)
    return report_training(trainer, folder, monitor, trainer_args, train_ex.info)


@evaluation_ex.main
def evaluate(
    run: str | int,
    runs: Literal["all"] | None,
    checkpoint_path: str | None,
    model_name: str,
    model_args: dict,
    dataset_args: dict,
    evaluator_name: str,
    evaluator_args: dict,
    device: str,
    log_dir: str,
    seed: int,
) -> dict[str, float]:
    """Evaluates a stored run on the test split; model and dataset are rebuilt from its record."""
    if runs:
        return evaluate_all(log_dir, evaluator_name)
    import pytorch_lightning as pl

    from .engine.reports.evaluation import evaluation_record, make_evaluator, measure
    from .engine.runs.building import in_words
    from .engine.runs.rebuild import on_device, rebuild_dataset, rebuild_model

    pl.seed_everything(seed, workers=True, verbose=False)
    invocation = current()
    evaluated = invocation.evaluated
    use_threads(evaluated.config.get("threads"))
    checkpoint = Path(checkpoint_path) if checkpoint_path else evaluated.checkpoint()
    say(f"run    {evaluated.name} ({evaluated.status}), {checkpoint.name}")

    dataset_args, dataset = rebuild_dataset(evaluated, "test", dataset_args)
    say(f"data   {type(dataset).__name__}, test split: {in_words(dataset)}")
    evaluation_ex.info.update(evaluation_record(evaluated, checkpoint, dataset, dataset_args))
    model = on_device(rebuild_model(evaluated, checkpoint, dataset, model_args), device)
    evaluator = make_evaluator(evaluator_name, evaluator_args)

    folder = run_folder(invocation)
    results = measure(evaluator, model, dataset, folder)
    width = max(map(len, results), default=0)
    say("\n".join(f"{key:<{width}}  {value:.4f}" for key, value in results.items()))
    if folder:
        say(f"done   stored in {shown(folder)}")
    return results


# Every command besides the two above: a file in engine/commands/ and a row here. The signature of
# its function is the schema of its configuration, its docstring the help.
train_ex.add_commands(reproduce, unobserved=False)
evaluation_ex.add_commands(runs, compare, clean, unobserved=True)
for ex in (train_ex, evaluation_ex):
    ex.answers = {"help": help_for, "completion": completion, "_complete": complete_words}
evaluation_ex.classes_of = evaluated_classes
train_ex.basis = stored_basis  # the configuration of a run that is resumed or reproduced


@train_ex.config_hook
def _check_training(
    config: dict[str, Any], command_name: str, logger: object
) -> dict[str, Any] | None:
    if command_name in ("train", "reproduce"):
        return check_training(current(), config)
    return None


@evaluation_ex.config_hook
def _check_evaluation(config: dict[str, Any], command_name: str, logger: object) -> None:
    if command_name == "evaluate":
        check_evaluation(current(), config)


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
