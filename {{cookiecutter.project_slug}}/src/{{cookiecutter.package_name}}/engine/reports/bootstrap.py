"""Whether two configurations differ on the same test examples, or by the choice of these only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..config.plain_values import with_lists
from ..errors import UserError
from ..runs.files import read_json, reading
from ..runs.provenance import same_data
from .comparison import group_name
from .outcome import Outcome, read_per_example

EXACT = 10_000  # examples up to which they are resampled; above, the mean's distribution is normal
RESAMPLES = 2000


def paired_bootstrap(
    differences: np.ndarray, draws: np.ndarray | None = None, seeds: tuple[np.ndarray, ...] = ()
) -> np.ndarray:
    """95 % intervals of the means of paired differences, by the percentile method.

    The pairs are resampled, so that what makes an example hard for both runs cancels out. Source:
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13. Above `EXACT` examples
    the interval is that of the normal distribution to which the resampled means converge (chapter
    12), with the bootstrap's own standard error.

    Where a configuration was trained with several seeds, its mean over them varies as well: by
    their standard error times a draw of Student's t with one degree of freedom less than there are
    seeds, as in the fiducial solution of Behrens and Fisher for two means of unlike spreads.

    Args:
        differences: of N examples in M metrics, `(N, M)`.
        draws: the means of their resamples, `(R, M)`, where they are known; see `resampled`.
        seeds: of each side that has several, the means over the examples, `(K, M)`.

    Returns:
        lower and upper ends, `(2, M)`.
    """
    mean, error = differences.mean(0), differences.std(0) / math.sqrt(len(differences))
    if draws is None:
        draws = resampled(differences)
    generator = np.random.default_rng(1993)
    if draws is None:
        if not seeds:
            return np.stack([mean - 1.959964 * error, mean + 1.959964 * error])
        draws = mean + error * generator.standard_normal((RESAMPLES, len(mean)))
    if seeds:
        draws = np.tile(draws, (10, 1))  # the tails of t with few degrees of freedom are long
    for means in seeds:
        spread = means.std(0, ddof=1) / math.sqrt(len(means))
        draws = draws + spread * generator.standard_t(len(means) - 1, (len(draws), 1))
    ends: np.ndarray = np.percentile(draws, [2.5, 97.5], axis=0)
    return ends


def resampled(values: np.ndarray) -> np.ndarray | None:
    """The means of resampled examples, `(R, M)`; None where there are more than `EXACT` of them.

    The resamples of equally many examples are the same ones, so that a difference of two means is
    the mean of the differences: each run is resampled once, however many it is compared with.

    Args:
        values: of N examples in M metrics, `(N, M)`.
    """
    if len(values) > EXACT:
        return None
    generator, size = np.random.default_rng(1993), len(values)
    return np.stack([values[generator.integers(size, size=size)].mean(0) for _ in range(RESAMPLES)])


@dataclass(frozen=True)
class Interval:
    """How much larger a metric is for one configuration than for another, on the same examples."""

    metric: str
    difference: float
    low: float
    high: float
    names: tuple[str, str]  # the second is subtracted

    def __str__(self) -> str:
        if not math.isfinite(self.high - self.low):
            verdict = "neither inside nor outside: not all values are finite"
        elif self.low <= 0 <= self.high:
            verdict = "inside: no difference shown"
        else:
            verdict = "outside: they differ"
        return (
            f"{self.metric}: {' - '.join(self.names)} = {self.difference:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], zero is {verdict}"
        )


class Sample:
    """What one configuration has for each test example: the mean over its seeds.

    Args:
        group: runs that differ in nothing but their seed.

    Attributes:
        problem: why there is none, in words; "".
        members: the runs that it is of: those with a current evaluation on the test set of the
            first of them.
    """

    def __init__(self, group: list[Outcome]):
        self.problem, self.members = "", []
        tables, problems = [], []
        for outcome in group:
            try:
                tables.append(self._table_of(outcome))
                self.members.append(outcome)
            except UserError as problem:  # of a damaged evaluation, too
                problems.append(str(problem))
        if not self.members:
            self.problem = problems[0]
            return
        self.metrics = [name for name in tables[0] if all(name in table for table in tables)]
        values = [np.column_stack([table[name] for name in self.metrics]) for table in tables]
        self.examples = len(values[0])
        if any(len(one) != self.examples for one in values):
            self.problem = f"{self.name} have different numbers of test examples"
            return
        with np.errstate(invalid="ignore"):  # where an example's loss is infinite
            self.values = np.mean(np.stack(values), axis=0)
            self.by_seed = np.stack([one.mean(0) for one in values])
            self.draws = resampled(self.values)

    @property
    def name(self) -> str:
        return group_name(self.members)

    def _table_of(self, outcome: Outcome) -> dict[str, np.ndarray]:
        if outcome.evaluation is None:
            raise UserError(f"{outcome.name} is not evaluated")
        if outcome.is_outdated:
            raise UserError(f"the evaluation of {outcome.name} is out of date")
        file = outcome.evaluation.path / "per_example.csv"
        if not file.exists():
            raise UserError(f"there is no {file}: evaluate again")
        if self.members and not _same_test_set(self.members[0], outcome):
            raise UserError(f"the test set or evaluator of {outcome.name} is another one")
        return read_per_example(file)


def intervals(first: Sample, other: Sample) -> list[Interval]:
    """`other` less `first`, for each metric that both have for each test example.

    Raises:
        UserError: why they cannot be compared.
    """
    names = other.name, first.name
    what = f"{' - '.join(names)}: no interval, because"
    if not _same_test_set(first.members[0], other.members[0]):
        raise UserError(f"{what} their test sets or evaluators are not the same")
    metrics = [name for name in other.metrics if name in first.metrics]
    if not metrics:
        raise UserError(f"{what} they have no metric in common for each example")
    if first.examples != other.examples or not first.examples:
        counts = f"{other.examples} and {first.examples}"
        raise UserError(f"{what} they have {counts} test examples")
    ours, theirs = ([s.metrics.index(name) for name in metrics] for s in (other, first))
    with np.errstate(invalid="ignore"):
        differences = other.values[:, ours] - first.values[:, theirs]
        draws = None
        if other.draws is not None and first.draws is not None:
            draws = other.draws[:, ours] - first.draws[:, theirs]
        sides = (other.by_seed[:, ours], first.by_seed[:, theirs])
        ends = paired_bootstrap(differences, draws, tuple(m for m in sides if len(m) > 1))
        columns = zip(metrics, differences.mean(0).tolist(), *ends.tolist(), strict=True)
    return [Interval(name, gap, low, high, names) for name, gap, low, high in columns]


def _same_test_set(*outcomes: Outcome) -> bool:
    """Whether two evaluations are on the same examples (besides how many there are)."""
    described, hashes = [], []
    for outcome in outcomes:
        assert outcome.evaluation, "a sample has runs only that are evaluated"
        folder = outcome.evaluation.path
        config, info = (read_json(folder / name) for name in ("config.json", "info.json"))
        with reading(folder / "info.json"):
            hashes.append({str(name): value for name, value in info["fingerprint"].items()})
        # Where no files tell what the data are, the arguments do.
        told_by = None if hashes[-1] else info.get("dataset_args")
        dataset = outcome.run.config["dataset_name"]
        described.append((config.get("evaluator_name"), dataset, info.get("data"), told_by))
    return with_lists(described[0]) == with_lists(described[1]) and same_data(*hashes)
