"""`evaluate runs`: the table of all runs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ..config.experiment import experiment
from ..config.invocation import current
from ..errors import UserError, unknown
from ..processes import say
from ..reports.every_outcome import every_outcome
from ..reports.outcome import Outcome, settings
from ..reports.text import aligned, as_text, duration, number, terminal_width


@dataclass(frozen=True)
class Row:
    """One run of the table.

    Attributes:
        began: when it was started, or queued.
        values: everything that a run has a name for.
        shown: column -> text, where that is not the value itself.
    """

    began: str
    values: dict[str, object]
    shown: dict[str, str]


HEAD = ["run", "dataset", "status", "epochs", "best", "test", "duration", "differs"]


def runs(log_dir: str, sort: str = "", **names: object) -> None:
    """Lists all runs: `evaluate runs with status=COMPLETED model=MyCoolIdea seed=7 sort=val_loss`.

    Whatever a run has a name for chooses and sorts: a column of the table, `model`, a key of the
    configuration, the monitored metric (its best value), another metric (its last value), and a
    result of the newest finished evaluation, unless that is out of date: its checkpoint has been
    replaced since. `sort=-val_accuracy` begins with the largest.
    """
    of_file = _file_settings()
    rows = [_row(outcome, of_file) for outcome in every_outcome(log_dir)]
    rows.sort(key=lambda row: row.began)
    if not rows:
        say(f"there are no runs in {log_dir}/ yet: type `train` first")
        return
    overrides = settings(current().overrides)
    wanted = {key: value for key, value in overrides.items() if key != "sort"}
    chosen = _sorted(_chosen(rows, wanted, sort), sort)
    say(aligned([HEAD, *map(_cells, chosen)], terminal_width()))


def _chosen(rows: list[Row], wanted: dict[str, object], sort: str) -> list[Row]:
    """The runs that have the wanted values."""
    known = [row.values for row in rows]
    names = {name for values in known for name in values}
    by = sort.removeprefix("-")
    for name in [*wanted, by] if by else wanted:
        if name not in names:
            raise unknown("name", name, names)
    for name, value in wanted.items():
        if not any(name in values and values[name] == value for values in known):
            there = sorted((values[name] for values in known if name in values), key=_order)
            shown = ", ".join(list(dict.fromkeys(map(as_text, there)))[:20])
            raise UserError(f"no run has {name} {value!r}: there are {shown}")
    chosen = [
        row for row in rows if all(k in row.values and row.values[k] == wanted[k] for k in wanted)
    ]
    if not chosen:
        raise UserError(f"no run has {' and '.join(f'{k}={v!r}' for k, v in wanted.items())}")
    return chosen


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    """Sorted by a name; runs that have no such value, or NaN, come last."""
    if not (by := sort.removeprefix("-")):
        return rows
    having: list[Row] = []
    lacking: list[Row] = []
    for row in rows:
        value = row.values.get(by)
        (having if value is not None and value == value else lacking).append(row)
    having.sort(key=lambda row: _order(row.values[by]), reverse=sort.startswith("-"))
    return having + lacking


def _file_settings() -> dict[tuple[bool, bool], dict[str, object]]:
    """What the file sets, for runs of its model or another one, and of its dataset or another one.

    The file's arguments are meant for the file's class.
    """
    defaults: dict[str, Any] = json.loads(json.dumps(experiment("train").defaults))
    return {
        (own_model, own_dataset): settings(
            defaults
            | ({} if own_model else {"model_args": {}})
            | ({} if own_dataset else {"dataset_args": {}})
        )
        for own_model in (True, False)
        for own_dataset in (True, False)
    }


def _row(outcome: Outcome, of_file: dict[tuple[bool, bool], dict[str, object]]) -> Row:
    run, file = outcome.run, of_file[True, True]
    own = outcome.configured | {"model_name": run.model_name}
    same = [own[name] == file[name] for name in ("model_name", "dataset_name")]
    files = of_file[same[0], same[1]]
    differs = [
        f"{key}={as_text(own[key])}"
        for key in own
        if key not in ("model_name", "dataset_name") and own[key] != files.get(key)
    ]
    # An evaluation of a checkpoint that has been replaced since sorts and chooses nothing.
    results = dict.fromkeys(outcome.results, math.nan) if outcome.is_outdated else outcome.results
    scores = outcome.last | results | {outcome.monitor: outcome.best}
    test = next(iter(outcome.results.items()), None)
    columns = {
        "run": run.name,
        "model": own["model_name"],
        "dataset": run.config["dataset_name"],
        "status": outcome.status,
        "epochs": outcome.epochs,
        "best": outcome.best,
        "test": results[test[0]] if test else math.nan,
        "duration": outcome.seconds,
        "differs": " ".join(differs),
    }
    outdated = " (out of date)" if outcome.is_outdated else ""
    shown = {
        "best": f"{outcome.monitor} {number(outcome.best)}"
        if outcome.best == outcome.best
        else "-",
        "test": f"{test[0]} {number(test[1])}{outdated}" if test else "-",
        "duration": duration(outcome.seconds),
    }
    return Row(run.began, outcome.settings | own | scores | columns, shown)


def _cells(row: Row) -> list[str]:
    return [as_text(row.shown.get(name, row.values[name])) for name in HEAD]


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, before everything else by its text."""
    if isinstance(value, (int, float)):
        return (0, value, "")
    return (1, 0, as_text(value))
