"""Whether two runs differ on the same test examples, or only by the choice of these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config.plain_values import with_lists
from ..errors import UserError
from ..runs.files import read_json, reading
from ..runs.provenance import same_data
from .outcome import Outcome, read_per_example

EXACT = 10_000  # examples up to which they are resampled; above, the mean's distribution is normal


def paired_bootstrap(differences: np.ndarray, resamples: int = 2000) -> np.ndarray:
    """95 % intervals of the means of paired differences, by the percentile method.

    The pairs are resampled, so that what makes an example hard for both runs cancels out. Source:
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13. Resampling N examples
    costs `resamples * N`; above `EXACT` examples the interval is that of the normal distribution to
    which the resampled means converge (chapter 12), with the bootstrap's own standard error.

    Args:
        differences: of N examples in M metrics, `(N, M)`.
        resamples: of N examples each; always the same ones.

    Returns:
        lower and upper ends, `(2, M)`.
    """
    if len(differences) > EXACT:
        half = 1.959964 * differences.std(0) / math.sqrt(len(differences))
        ends: np.ndarray = differences.mean(0) + np.stack([-half, half])
        return ends
    generator, size = np.random.default_rng(1993), len(differences)
    means = [differences[generator.integers(size, size=size)].mean(0) for _ in range(resamples)]
    ends = np.percentile(means, [2.5, 97.5], axis=0)
    return ends


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
    folders = []
    for outcome in both:
        if outcome.evaluation is None:
            raise UserError(f"{what} {outcome.name} is not evaluated")
        if outcome.is_outdated:
            raise UserError(f"{what} the evaluation of {outcome.name} is out of date")
        folders.append(outcome.evaluation.path)
    if not _same_test_set(both, folders):
        raise UserError(f"{what} their test sets or evaluators are not the same")
    files = [folder / "per_example.csv" for folder in folders]
    if missing := [str(file) for file in files if not file.exists()]:
        raise UserError(f"{what} there is no {' and no '.join(missing)}: evaluate again")
    tables = [read_per_example(file) for file in files]
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
    runs = (other.name, first.name)
    return [Interval(name, gap, low, high, runs, len(ours)) for name, gap, low, high in columns]


def _same_test_set(outcomes: tuple[Outcome, ...], folders: list[Path]) -> bool:
    """Whether two evaluations are on the same examples (besides how many there are)."""
    described, hashes = [], []
    for outcome, folder in zip(outcomes, folders, strict=True):
        config, info = (read_json(folder / name) for name in ("config.json", "info.json"))
        with reading(folder / "info.json"):
            hashes.append({str(name): value for name, value in info["fingerprint"].items()})
        # Where no files tell what the data are, the arguments do.
        told_by = None if hashes[-1] else info.get("dataset_args")
        dataset = outcome.run.config["dataset_name"]
        described.append((config.get("evaluator_name"), dataset, info.get("data"), told_by))
    return with_lists(described[0]) == with_lists(described[1]) and same_data(*hashes)
