"""Commands that look at stored runs: `evaluate runs`, `evaluate compare`, `evaluate clean`.

None of them imports torch, and none but `clean with yes=True` changes a run.
"""

from __future__ import annotations

import csv
import inspect
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .eval_config import evaluation_ex
from .train_config import train_ex
from .util.checks import check_types
from .util.compare import (
    Comparison,
    Outcome,
    as_text,
    compare_outcomes,
    duration,
    intervals,
    mean_and_spread,
    number,
    read_outcome,
    settings,
)
from .util.experiment import UserError, refusals, unknown
from .util.runs import Run, every_run, find_run


def check_looking(function: Callable, config: dict) -> None:
    """Refuses what a command of this file does not take."""
    parameters = inspect.signature(function.__wrapped__).parameters
    asked = evaluation_ex.asked
    if function is not runs:  # which takes every name that a run knows
        for key in asked.keys() - parameters.keys():
            raise unknown("configuration key", key, parameters)
    elif not isinstance(config["seed"], int) or config["seed"] < 0:  # sacred seeds with it
        raise UserError(f"no run has seed {config['seed']!r}: it is an int, 0 or more")
    given = {key: asked[key] for key in parameters if key in asked}
    check_types("", function.__wrapped__, given)


def _sound_runs(log_dir: str) -> list[Run]:
    """Every run, oldest first; one whose folder is damaged is named on stderr and left out."""
    found = []
    for path, run in every_run(log_dir):
        if (path / "checkpoints").is_symlink():
            run = UserError(f"{path / 'checkpoints'} is a link, maybe out of the run's folder")
        if isinstance(run, UserError):
            _complain(run)
        else:
            found.append(run)
    return sorted(found, key=lambda run: str(run.record.get("start_time")))


def _outcomes(found: list[Run]) -> Iterator[Outcome]:
    for run in found:
        try:
            yield read_outcome(run)
        except UserError as error:
            _complain(error)


def _complain(error: UserError) -> None:
    print(f"UserError: {error}", file=sys.stderr)


def _aligned(rows: list[list[str]], width: int | None = None) -> str:
    """A table of text; the last column is cut where a line is longer than `width`."""
    *widths, _ = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = sum(widths) + 2 * len(widths)  # where the last column begins
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    if width is not None:
        cut = max(width, last + len("..."))
        lines = [line if len(line) <= cut else line[: cut - 3] + "..." for line in lines]
    return "\n".join(lines)


def _width() -> int | None:
    """Of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# -- evaluate runs --------------------------------------------------------------------------------


@evaluation_ex.command(unobserved=True)
def runs(log_dir: str, sort: str = "") -> None:
    """Lists all runs: `evaluate runs with status=COMPLETED model=MyCoolIdea seed=7 sort=val_loss`.

    Whatever a run has a name for chooses and sorts: a column of the table, `model`, a key of the
    configuration, the monitored metric (its best value), another metric (its last value), and a
    result of the newest finished evaluation. `sort=-val_accuracy` begins with the largest.
    """
    defaults = json.loads(json.dumps(train_ex.configurations[0].defaults))
    known = [_known(outcome, defaults) for outcome in _outcomes(_sound_runs(log_dir))]
    if not known:
        print(f"there are no runs in {log_dir}/ yet: type `train` first")
        return
    names = {name for run in known for name in run}
    wanted = {k: v for k, v in settings(evaluation_ex.asked).items() if k != "sort"}
    by = sort.removeprefix("-")
    for name in [*wanted, by] if by else wanted:
        if name not in names:
            raise unknown("name", name, names)
    for name, value in wanted.items():
        if not any(name in run and run[name] == value for run in known):
            values = sorted((run[name] for run in known if name in run), key=_order)
            shown = ", ".join(list(dict.fromkeys(map(as_text, values)))[:20])
            raise UserError(f"no run has {name} {value!r}: there are {shown}")
    known = [
        run for run in known if all(name in run and run[name] == wanted[name] for name in wanted)
    ]
    if not known:
        raise UserError(f"no run has {' and '.join(f'{k}={v!r}' for k, v in wanted.items())}")
    if by:
        having = [run for run in known if run.get(by) is not None and run[by] == run[by]]
        lacking = [run for run in known if run not in having]
        having.sort(key=lambda run: _order(run[by]), reverse=sort.startswith("-"))
        known = having + lacking
    print(_aligned([HEAD, *map(_cells, known)], _width()))


HEAD = ["run", "dataset", "status", "epochs", "best", "test", "duration", "differs"]


def _known(outcome: Outcome, defaults: dict) -> dict[str, object]:
    """Everything that a run has a name for."""
    run = outcome.run
    files, own = dict(defaults), dict(run.config)
    own["model_name"] = run.path.parent.name
    for role in ("model", "dataset"):  # the file's arguments are meant for the file's class
        if own[f"{role}_name"] != defaults[f"{role}_name"]:
            files[f"{role}_args"] = {}
    files, own = settings(files), settings(own)
    differs = [
        f"{key}={as_text(own[key])}"
        for key in own
        if key not in ("model_name", "dataset_name") and own[key] != files.get(key)
    ]
    scores = outcome.last | outcome.results | {outcome.monitor: outcome.best}
    test = next(iter(outcome.results.items()), None)
    columns = {
        "run": run.name,
        "model": own["model_name"],
        "dataset": run.config["dataset_name"],
        "status": outcome.status,
        "epochs": outcome.epochs,
        "best": outcome.best,
        "test": test[1] if test else math.nan,
        "duration": outcome.seconds,
        "differs": " ".join(differs),
    }
    shown = {
        "best": f"{outcome.monitor} {number(outcome.best)}"
        if outcome.best == outcome.best
        else "-",
        "test": f"{test[0]} {number(test[1])}" if test else "-",
        "duration": duration(outcome.seconds),
    }
    return outcome.settings | own | scores | columns | {"": shown}


def _cells(run: dict) -> list[str]:
    return [as_text(run[""].get(name, run[name])) for name in HEAD]


def _order(value: object) -> tuple:
    """Numbers by size, before everything else by its text."""
    if isinstance(value, (int, float)):
        return (0, value, "")
    return (1, 0, as_text(value))


# -- evaluate compare -----------------------------------------------------------------------------


@evaluation_ex.command(unobserved=True)
def compare(runs: list | str | None, model_name: str, log_dir: str) -> None:
    """Compares runs (with runs=[3,7], or all): settings, metrics, curves; also as CSV and HTML.

    Runs that differ in nothing but their seed are one group: mean +- standard deviation (n). Two
    evaluations on the same test set are compared example by example, by a paired bootstrap.
    """
    if runs == "all":
        chosen = [run for run in _sound_runs(log_dir) if run.status == "COMPLETED"]
    else:
        words = runs.strip("[]() ").split(",") if isinstance(runs, str) else runs or []
        chosen = [find_run(log_dir, str(word).strip(" '\""), model_name) for word in words]
    names = [run.name for run in chosen]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UserError(f"compare takes two or more different runs, as in runs=[1,2]; not {names}")
    comparison = compare_outcomes([read_outcome(run) for run in chosen])
    verdicts = _verdicts(comparison)
    names, rows = comparison.names, list(_rows(comparison))
    print(_aligned([["", *names], *([name, *cells] for name, cells in rows)]))
    if verdicts:
        print("\n95 % intervals, paired bootstrap over the test examples:", *verdicts, sep="\n  ")
    folder = _new_folder(Path(log_dir, "comparisons"))
    with refusals(str(folder)):
        with (folder / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["", *names], *([name, *cells] for name, cells in rows)])
        from .util.page import page  # matplotlib takes a moment

        text = page(comparison, rows, verdicts)
        (folder / "comparison.html").write_text(text, encoding="utf-8")
    print(f"\nstored {folder / 'comparison.csv'}\nstored {folder / 'comparison.html'}")


def _rows(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    yield "status", [group[0].status for group in comparison.groups]
    yield "epochs", [str(group[0].epochs) for group in comparison.groups]
    yield from comparison.differences.items()
    for name, groups in comparison.scores.items():
        yield name, [mean_and_spread(values) for values in groups]


def _verdicts(comparison: Comparison) -> list[str]:
    """The first run against each other one that is not of its group, example by example."""
    first = comparison.groups[0][0]
    others = [group[0] for group in comparison.groups[1:]] or comparison.groups[0][1:]
    lines = []
    for other in others:
        try:
            lines += map(str, intervals(first, other))
        except UserError as reason:
            lines.append(str(reason))
    return lines


def _new_folder(parent: Path) -> Path:
    with refusals(str(parent), (OSError,)):
        parent.mkdir(exist_ok=True)
        number = 1
        while True:
            try:
                (parent / str(number)).mkdir()
            except FileExistsError:
                number += 1
            else:
                return parent / str(number)


# -- evaluate clean -------------------------------------------------------------------------------


@evaluation_ex.command(unobserved=True)
def clean(log_dir: str, yes: bool = False) -> None:
    """Says which failed runs and superseded checkpoints it would delete; does it with yes=True."""
    total = 0
    doomed = list(_doomed(_sound_runs(log_dir)))
    for path, reason in doomed:
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.lstat().st_size for file in files)
        total += size
        print(f"{size / 1e6:9.2f} MB  {path}  ({reason})")
        if yes:
            with refusals(str(path)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not doomed:
        print(f"there is nothing to clean in {log_dir}/")
    elif yes:
        print(f"deleted {total / 1e6:.2f} MB")
    else:
        print(f"{total / 1e6:9.2f} MB in all; to delete it: evaluate clean with yes=True")


def _doomed(found: list[Run]) -> Iterator[tuple[Path, str]]:
    for run in found:
        # Whatever is linked into the folder is not ours.
        if run.path.is_symlink() or run.path.parent.is_symlink() or run.status == "RUNNING":
            continue
        failed = run.status == "FAILED" and len(run.attempts) == 1  # else it was worth resuming
        if failed or (run.status != "COMPLETED" and not run.checkpoints()):
            yield run.path, run.status if failed else f"{run.status}, no checkpoint"
            continue
        last, best = (run.path / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
        if run.status == "COMPLETED" and last.is_file() and best.is_file():
            yield last, "superseded by best.ckpt; the run can then not be trained further"
        yield from ((path, "left over") for path in run.path.glob("**/*.tmp") if path.is_file())


COMMANDS: dict[str, Callable] = {"runs": runs, "compare": compare, "clean": clean}
