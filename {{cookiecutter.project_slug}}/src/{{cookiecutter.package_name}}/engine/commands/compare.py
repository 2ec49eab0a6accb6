"""`evaluate compare`: several runs side by side."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError, refusals
from ..processes import say
from ..reports.bootstrap import intervals
from ..reports.comparison import Comparison, compare_outcomes
from ..reports.every_outcome import sound_runs
from ..reports.outcome import read_outcome
from ..reports.text import aligned, mean_and_spread
from ..runs.finding import find_run


def compare(runs: list | str | None, model_name: str, log_dir: str) -> None:
    """Compares runs (with runs=[3,7], or all): settings, metrics, curves; also as CSV and HTML.

    Runs that differ in nothing but their seed are one group: mean +- standard deviation (n). Two
    evaluations on the same test set are compared example by example, by a paired bootstrap.
    """
    if runs == "all":
        chosen = [run for run in sound_runs(log_dir) if run.status == "COMPLETED"]
    else:
        words = runs.strip("[]() ").split(",") if isinstance(runs, str) else runs or []
        chosen = [find_run(log_dir, str(word).strip(" '\""), model_name) for word in words]
    names = [run.name for run in chosen]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UserError(f"compare takes two or more different runs, as in runs=[1,2]; not {names}")
    comparison = compare_outcomes([read_outcome(run) for run in chosen])
    verdicts = _verdicts(comparison)
    names, rows = comparison.names, list(_rows(comparison))
    say(aligned([["", *names], *([name, *cells] for name, cells in rows)]))
    if verdicts:
        head = "\n95 % intervals, paired bootstrap over the test examples:"
        say("\n  ".join([head, *verdicts]))
    folder = _new_folder(Path(log_dir, "comparisons"))
    with refusals(str(folder)):
        with (folder / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["", *names], *([name, *cells] for name, cells in rows)])
        from ..reports.page import page  # matplotlib takes 0.3 s to import

        text = page(comparison, rows, verdicts)
        (folder / "comparison.html").write_text(text, encoding="utf-8")
    say(f"\nstored {folder / 'comparison.csv'}\nstored {folder / 'comparison.html'}")


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
    lines: list[str] = []
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
