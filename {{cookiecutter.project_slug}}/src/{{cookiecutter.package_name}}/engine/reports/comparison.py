"""Several runs side by side. Without torch."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from .outcome import Outcome
from .text import as_text


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
    seen: Counter[tuple[object, object]] = Counter()
    for outcome in outcomes:
        settings = {key: value for key, value in outcome.settings.items() if key != "seed"}
        alike = (outcome.run.model_name, outcome.status, repr(sorted(settings.items())))
        repeat = (alike, repr(outcome.settings.get("seed")))
        groups.setdefault((alike, seen[repeat]), []).append(outcome)
        seen[repeat] += 1
    return list(groups.values())


def group_name(group: list[Outcome]) -> str:
    """`MyCoolIdea/1,2,4`; a group has one model, whose runs may lie in several folders."""
    ids: dict[str, list[str]] = {}
    for outcome in group:
        folder = outcome.run.path.parent.name
        ids.setdefault(folder, []).append(outcome.run.path.name)
    shortened = {
        folder: [*names[:3], "...", names[-1]] if len(names) > 5 else names
        for folder, names in ids.items()
    }
    return as_text(" ".join(f"{folder}/{','.join(names)}" for folder, names in shortened.items()))


def _texts(group: list[Outcome], key: str) -> list[str]:
    return list(
        dict.fromkeys(as_text(o.settings[key]) if key in o.settings else "-" for o in group)
    )


def _kind(name: str) -> int:
    return next((i for i, kind in enumerate(("best ", "last ")) if name.startswith(kind)), 2)
