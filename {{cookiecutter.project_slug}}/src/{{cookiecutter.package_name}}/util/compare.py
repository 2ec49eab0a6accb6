"""What the folder of a run tells besides its record, and how two runs compare. Without torch."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from .experiment import UserError
from .runs import Run, flat


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        settings: dotted key -> value: the configuration, with every default of model and dataset
            spelled out, and what the data were.
        curves: metric -> a (epoch, value) for each time that it was measured.
        epochs: epochs done.
        best: best value of the monitored metric so far, or NaN.
        seconds: duration of all attempts together.
        evaluation: folder of the newest finished evaluation, or None.
        results: of that evaluation; the evaluator's first result is the first.
    """

    run: Run
    status: str
    settings: dict[str, object]
    curves: dict[str, list[tuple[float, float]]]
    epochs: int
    best: float
    seconds: float
    evaluation: Path | None
    results: dict[str, float]

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def monitor(self) -> str:
        return self.run.config["monitor"]

    @property
    def last(self) -> dict[str, float]:
        """Metric of the training -> its last value."""
        return {name: points[-1][1] for name, points in self.curves.items() if points}

    @property
    def scores(self) -> dict[str, float]:
        """Best, last and test values, by names that tell which is which."""
        last = {f"last {name}": value for name, value in self.last.items()}
        return {f"best {self.monitor}": self.best} | last | self.results


def read_outcome(run: Run) -> Outcome:
    """Reads how a run went.

    Raises:
        UserError: a file is not what a run writes; it is named.
    """
    known = ("model_args", "dataset_args", "data", "fingerprint")
    with _reading(run.path / "config.json"):
        configured = settings(run.config) | settings({k: run.info.get(k, {}) for k in known})
    with _reading(run.path / "metrics.json"):
        curves, epochs = _curves(run.path / "metrics.json")
    with _reading(run.path / "run.json"):
        status, seconds, best = run.status, _seconds(run), run.best
    if math.isnan(best):  # it has not ended
        values = [value for _, value in curves.get(run.config["monitor"], ()) if value == value]
        choose = max if run.config.get("monitor_mode") == "max" else min
        best = choose(values, default=math.nan)
    evaluation, results = _newest_evaluation(run.path / "evaluations")
    return Outcome(run, status, configured, curves, epochs, best, seconds, evaluation, results)


@contextlib.contextmanager
def _reading(file: Path):
    """Names the file in which something is not what a run writes."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{file} is damaged: {error!r}") from None


def _json(file: Path) -> dict:
    with _reading(file):
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("not an object")
        return content


def settings(config: Mapping) -> dict[str, object]:
    """A configuration as dotted key -> value, less what does not tell runs apart."""
    return {key: value for key, value in flat(config).items() if key != "log_dir" and value != {}}


def _curves(file: Path) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """The metrics over the epochs, and how many of these were done."""
    if not file.exists():  # the run ended before its first epoch
        return {}, 0
    metrics = {
        name: list(zip(entry["steps"], map(float, entry["values"]), strict=True))
        for name, entry in _json(file).items()
    }
    epoch_at = dict(metrics.pop("epoch", ()))
    curves = {
        name: [(epoch_at.get(step, i), value) for i, (step, value) in enumerate(points, 1)]
        for name, points in metrics.items()
    }
    longest = max(map(len, curves.values()), default=0)
    return curves, int(list(epoch_at.values())[-1]) if epoch_at else longest


def _seconds(run: Run) -> float:
    """Duration of all attempts together; of one that did not see its end, until the last sign."""
    total = 0.0
    for attempt in run.attempts:
        start, stop = attempt["start_time"], attempt["stop_time"]
        if not stop and attempt is run.attempts[-1]:
            stop = run.record.get("heartbeat")
        if start and stop:
            passed = datetime.fromisoformat(stop) - datetime.fromisoformat(start)
            total += max(0.0, passed.total_seconds())
    return total


def _newest_evaluation(folder: Path) -> tuple[Path | None, dict[str, float]]:
    """Folder and results of the newest finished evaluation."""
    paths = [file.parent for file in folder.glob("*/run.json")]
    for path in sorted(paths, key=lambda p: (len(p.name), p.name), reverse=True):
        if _json(path / "run.json").get("status") == "COMPLETED":
            results = _json(path / "results.json")
            with _reading(path / "results.json"):
                return path, {name: float(value) for name, value in results.items()}
    return None, {}


# -- Numbers for each test example ----------------------------------------------------------------


def write_per_example(file: Path, columns: Mapping[str, Sequence[float]]) -> None:
    """Writes one row for each test example; the columns are as long as each other."""
    rows = zip(*columns.values(), strict=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(columns)
        table.writerows(map(float, row) for row in rows)


def _per_example(file: Path) -> dict[str, np.ndarray]:
    """Metric -> a number for each test example, `(N,)` float64."""
    with _reading(file), file.open(newline="", encoding="utf-8") as opened:
        names, *rows = csv.reader(opened)
        values = np.array(rows, dtype=float).reshape(-1, len(names))
        return dict(zip(names, values.T, strict=True))


def paired_bootstrap(differences: np.ndarray, resamples: int = 2000) -> np.ndarray:
    """95 % intervals of the means of paired differences, by the percentile method.

    The pairs are resampled, so that what makes an example hard for both runs cancels out. Source:
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Args:
        differences: of N examples in M metrics, `(N, M)`.
        resamples: of N examples each; always the same ones.

    Returns:
        lower and upper ends, `(2, M)`.
    """
    generator, size = np.random.default_rng(1993), len(differences)
    means = [differences[generator.integers(size, size=size)].mean(0) for _ in range(resamples)]
    return np.percentile(means, [2.5, 97.5], axis=0)


# -- Comparison -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """How much larger a metric is in one run than in another, on the same test examples."""

    metric: str
    difference: float
    low: float
    high: float
    runs: tuple[str, str]  # the second is subtracted
    examples: int

    def __str__(self) -> str:
        if not math.isfinite(self.high - self.low):
            verdict = "neither inside nor outside: not all values are finite"
        elif self.low <= 0 <= self.high:
            verdict = "inside: no difference shown"
        else:
            verdict = "outside: they differ"
        return (
            f"{self.metric}: {' - '.join(self.runs)} = {self.difference:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], zero is {verdict}"
        )


def intervals(first: Outcome, other: Outcome) -> list[Interval]:
    """`other` less `first`, for each metric that both have for each test example.

    Raises:
        UserError: why they cannot be compared.
    """
    both, what = (other, first), f"{other.name} - {first.name}: no interval, because"
    for outcome in both:
        if outcome.evaluation is None:
            raise UserError(f"{what} {outcome.name} is not evaluated")
    if _test_set(first) != _test_set(other):
        raise UserError(f"{what} their test sets or evaluators are not the same")
    files = [outcome.evaluation / "per_example.csv" for outcome in both]
    if missing := [str(file) for file in files if not file.exists()]:
        raise UserError(f"{what} there is no {' and no '.join(missing)}: evaluate again")
    tables = [_per_example(file) for file in files]
    names = [name for name in tables[0] if name in tables[1]]
    if not names:
        raise UserError(f"{what} they have no metric in common for each example")
    ours, theirs = (np.column_stack([table[name] for name in names]) for table in tables)
    if len(ours) != len(theirs) or not len(ours):
        raise UserError(f"{what} they have {len(ours)} and {len(theirs)} test examples")
    with np.errstate(invalid="ignore"):  # where an example's loss is infinite
        differences = ours - theirs
        ends = paired_bootstrap(differences)
        columns = zip(names, differences.mean(0).tolist(), *ends.tolist(), strict=True)
    return [Interval(*column, (other.name, first.name), len(ours)) for column in columns]


def _test_set(outcome: Outcome) -> tuple:
    """What is equal for two evaluations on the same examples (besides how many there are)."""
    config, info = (_json(outcome.evaluation / name) for name in ("config.json", "info.json"))
    # Where no files tell what the data are, the arguments do.
    told_by = info.get("fingerprint") or info.get("dataset_args")
    dataset = outcome.run.config["dataset_name"]
    return config.get("evaluator_name"), dataset, info.get("data"), told_by


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side; those that differ in nothing but their seed are one group.

    Attributes:
        differences: dotted key of the configuration -> its values in each group, as text.
        scores: metric -> its values in each group; NaN where a run has none.
    """

    groups: list[list[Outcome]]
    differences: dict[str, list[str]]
    scores: dict[str, list[list[float]]]

    @property
    def names(self) -> list[str]:
        return [group_name(group) for group in self.groups]


def compare_outcomes(outcomes: list[Outcome]) -> Comparison:
    groups = group_by_seed(outcomes)
    differences = {
        key: [", ".join(_texts(group, key)) for group in groups]
        for key in sorted({key for outcome in outcomes for key in outcome.settings})
        if len(_texts(outcomes, key)) > 1
    }
    names = sorted(dict.fromkeys(name for o in outcomes for name in o.scores), key=_kind)
    scores = {
        name: [[o.scores.get(name, math.nan) for o in group] for group in groups] for name in names
    }
    return Comparison(groups, differences, scores)


def group_by_seed(outcomes: list[Outcome]) -> list[list[Outcome]]:
    """Runs whose settings differ in nothing but the seed; a repeated seed is in another group."""
    groups: dict[object, list[Outcome]] = {}
    seen = Counter()
    for outcome in outcomes:
        settings = {key: value for key, value in outcome.settings.items() if key != "seed"}
        alike = (outcome.run.path.parent.name, outcome.status, repr(sorted(settings.items())))
        repeat = (alike, outcome.settings.get("seed"))
        groups.setdefault((alike, seen[repeat]), []).append(outcome)
        seen[repeat] += 1
    return list(groups.values())


def group_name(group: list[Outcome]) -> str:
    """`MyCoolIdea/1,2,4`: a group has one model."""
    ids = [outcome.run.path.name for outcome in group]
    if len(ids) > 5:
        ids = [*ids[:3], "...", ids[-1]]
    return f"{group[0].run.path.parent.name}/{','.join(ids)}"


def _texts(group: list[Outcome], key: str) -> list[str]:
    return list(
        dict.fromkeys(as_text(o.settings[key]) if key in o.settings else "-" for o in group)
    )


def _kind(name: str) -> int:
    return next((i for i, kind in enumerate(("best ", "last ")) if name.startswith(kind)), 2)


# -- In words -------------------------------------------------------------------------------------


def as_text(value: object) -> str:
    """A value of a configuration as one types it; nothing in it moves the cursor of a terminal."""
    text = value if isinstance(value, str) else repr(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.2e}"


def mean_and_spread(values: Sequence[float], plus_minus: str = "+-") -> str:
    """Mean, standard deviation (n - 1) and n of a score over the seeds; one value by itself."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    mean = sum(values) / len(values)
    spread = math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)
    return f"{number(mean)} {plus_minus} {number(spread)} ({len(values)})"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 05 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
