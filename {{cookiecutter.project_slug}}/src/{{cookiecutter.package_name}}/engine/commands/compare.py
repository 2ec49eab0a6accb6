"""`evaluate compare`: several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import inf, isfinite
from pathlib import Path
from statistics import fmean

from ..errors import UserError, refusals
from ..processes import say
from ..reports.bootstrap import Sample, intervals
from ..reports.comparison import Comparison, compare_outcomes, group_name
from ..reports.csv_files import write_rows
from ..reports.every_outcome import outcomes, sound_runs
from ..reports.outcome import Outcome, read_outcome
from ..reports.text import aligned, as_text, mean_and_spread
from ..runs.finding import find_run

PAIRED = 20  # groups up to which each is compared with each other one


def compare(runs: list | str | None, model_name: str, log_dir: str) -> None:
    """Compares runs (with runs=3,7, or all): settings, metrics, curves; also as CSV and HTML.

    Runs that differ in nothing but their seed are one group: mean +- standard deviation (n). Each
    two groups on the same test set are compared example by example, by a paired bootstrap that has
    the spread of their seeds in it; above 20, each with the best. An evaluation is out of date
    where the run has gone on since.
    """
    if runs == "all":
        finished = [run for run in sound_runs(log_dir) if run.status == "COMPLETED"]
        chosen = list(outcomes([run for run in finished if not run.trial]))
    else:
        words = runs.strip("[]() ").split(",") if isinstance(runs, str) else runs or []
        found = (find_run(log_dir, str(word).strip(" '\""), model_name) for word in words)
        chosen = [read_outcome(run) for run in found]
    names = [outcome.name for outcome in chosen]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UserError(f"compare takes two or more different runs, as in runs=1,2; not {names}")
    comparison = compare_outcomes(chosen)
    verdicts = _verdicts(comparison)
    names, rows = comparison.names, list(_rows(comparison))
    table = [["", *names], *([name, *cells] for name, cells in rows)]
    say(aligned(table))
    if verdicts:
        head = "\n95 % intervals over the test examples, and over seeds where a group has several:"
        say("\n  ".join([head, *verdicts]))
    folder = _new_folder(Path(log_dir, "comparisons"))
    with refusals(str(folder)):
        write_rows(folder / "comparison.csv", table)
        from ..reports.page import page  # matplotlib takes 0.3 s to import

        text = page(comparison, rows, verdicts)
        (folder / "comparison.html").write_text(text, encoding="utf-8")
    say(f"\nstored {folder / 'comparison.csv'}\nstored {folder / 'comparison.html'}")


def _rows(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    groups = comparison.groups
    yield "status", [as_text(group[0].status) for group in groups]
    yield "epochs", [str(group[0].epochs) for group in groups]
    for key, cells in comparison.differences.items():
        yield as_text(key), cells
    for name, scores in comparison.scores.items():
        yield as_text(name), [_score(name, *both) for both in zip(groups, scores, strict=True)]


def _score(name: str, group: list[Outcome], values: list[float]) -> str:
    """A score of a group; a mean is one of evaluations of what the runs are now."""
    is_outdated = [outcome.is_outdated and name in outcome.results for outcome in group]
    current = [value for value, outdated in zip(values, is_outdated) if not outdated]
    if len(current) == len(values):
        return mean_and_spread(values)
    if not current:
        return f"{mean_and_spread(values)} (out of date)"
    return f"{mean_and_spread(current)}, {sum(is_outdated)} out of date"


def _verdicts(comparison: Comparison) -> list[str]:
    """Each group against each other one, example by example; of many, each against the best."""
    lines: list[str] = []
    for first, other in _pairs(comparison.groups, lines):
        try:
            lines += map(str, intervals(first, other))
        except UserError as reason:
            lines.append(str(reason))
    return list(map(as_text, lines))


def _pairs(groups: list[list[Outcome]], lines: list[str]) -> Iterator[tuple[Sample, Sample]]:
    """What is compared with what.

    Args:
        groups: in the order of the table.
        lines: gets what there is to say about groups that are left out.
    """

    def samples(chosen: list[list[Outcome]]) -> Iterator[Sample]:
        for group in chosen:
            sample = Sample(group)
            if sample.problem:
                lines.append(f"{group_name(group)}: no interval, because {sample.problem}")
            else:
                yield sample

    if len(groups) <= PAIRED:
        yield from combinations(samples(groups), 2)
        return
    best = _best(groups)
    lines.append(f"{len(groups)} groups: each against the best one only, {group_name(best)}")
    for first in samples([best]):  # one at a time: of a million examples each takes 16 MB a metric
        for other in samples([group for group in groups if group is not best]):
            yield first, other


def _best(groups: list[list[Outcome]]) -> list[Outcome]:
    """The group with the best mean of the monitored value, of those that have an evaluation."""
    evaluated = [g for g in groups if any(o.evaluation and not o.is_outdated for o in g)]
    sign = -1 if groups[0][0].run.config.get("monitor_mode") == "max" else 1

    def score(group: list[Outcome]) -> float:
        mean = sign * fmean(outcome.best for outcome in group)
        return mean if isfinite(mean) else inf

    return min(evaluated or groups, key=score)


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
