"""`evaluate compare`: several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError, refusals
from ..processes import say
from ..reports.bootstrap import intervals
from ..reports.comparison import Comparison, compare_outcomes
from ..reports.csv_files import write_rows
from ..reports.every_outcome import outcomes, sound_runs
from ..reports.outcome import Outcome, read_outcome
from ..reports.text import aligned, as_text, mean_and_spread
from ..runs.finding import find_run


def compare(runs: list | str | None, model_name: str, log_dir: str) -> None:
    """Compares runs (with runs=3,7, or all): settings, metrics, curves; also as CSV and HTML.

    Runs that differ in nothing but their seed are one group: mean +- standard deviation (n). Two
    evaluations on the same test set are compared example by example, by a paired bootstrap. An
    evaluation is out of date where the run has gone on since.
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
        head = "\n95 % intervals, paired bootstrap over the test examples:"
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
    """The first run against each other one that is not of its group, example by example."""
    first = comparison.groups[0][0]
    others = [group[0] for group in comparison.groups[1:]] or comparison.groups[0][1:]
    lines: list[str] = []
    for other in others:
        try:
            lines += map(str, intervals(first, other))
        except UserError as reason:
            lines.append(str(reason))
    return list(map(as_text, lines))


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
