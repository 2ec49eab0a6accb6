"""Whether a run and its repetition came to the same result; if not, what was different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..runs.checkpoint_file import read_checkpoint
from ..runs.metrics_file import read_metrics
from ..runs.provenance import same_data, versions
from ..runs.stored import Run


def compare_reproduction(
    original: Run, folder: Path, info: dict[str, Any]
) -> tuple[bool, list[str]]:
    """Compares a stored run with its repetition.

    Args:
        original: the run.
        folder: of the repetition.
        info: what the repetition has recorded of itself.

    Returns:
        Whether weights and metrics are equal to the last bit, and the lines that say so and name
        every known difference: in result, sources, versions, machine and data.
    """
    results = [*_weights(original.path, folder), *_metrics(original.path, folder)]
    then = {w.partition("==")[0]: w for w in original.record["experiment"].get("dependencies", [])}
    now = {word.partition("==")[0]: word for word in versions()}
    data = original.info.get("fingerprint", {}), info["fingerprint"]
    circumstances = [
        *(f"sources: {name} has changed" for name in original.changed_sources()),
        *_changes("versions", then, now),
        *_changes("machine", original.info.get("machine", {}), info["machine"]),
        *([] if same_data(*data) else _changes("data", *data)),
        *(
            f"configuration: {key} became {value!r} when the run was resumed"
            for attempt in original.attempts
            for key, value in attempt.get("changes", {}).items()
        ),
    ]
    if not results:
        lines = [f"identical: weights and metrics are those of {original.name}, to the last bit"]
        return True, lines + [f"although   {line}" for line in circumstances]
    lines = [f"different from {original.name}:", *(f"  {line}" for line in results)]
    if circumstances:
        lines += ["and this is different:", *(f"  {line}" for line in circumstances)]
    else:
        lines += [
            "sources, versions, machine and data are the same: then the training itself is not "
            "deterministic (on a GPU, try trainer_args.deterministic=True)"
        ]
    return False, lines


def _weights(before: Path, after: Path) -> list[str]:
    for name in ("last.ckpt", "best.ckpt"):  # `evaluate clean` leaves one of them
        paths = [folder / "checkpoints" / name for folder in (before, after)]
        if all(path.is_file() for path in paths):
            break
    else:
        return ["weights: there are no checkpoints to compare"]
    old, new = (read_checkpoint(path)["state_dict"] for path in paths)
    lines = [f"weights: {key} is in one of them only" for key in sorted(old.keys() ^ new.keys())]
    for key in sorted(old.keys() & new.keys()):
        if old[key].shape != new[key].shape:
            lines.append(f"weights: {key} has another shape")
        elif not torch.equal(old[key], new[key]):
            gap = (old[key].double() - new[key].double()).abs().max().item()
            lines.append(f"weights: {key} differs by up to {gap:.3g}")
    return lines


def _metrics(before: Path, after: Path) -> list[str]:
    old, new = read_metrics(before), read_metrics(after)
    lines = []
    for key in sorted(old.keys() | new.keys()):
        values = [metrics.get(key, {}).get("values", []) for metrics in (old, new)]
        pairs = enumerate(zip(*values), start=1)
        epoch = next((number for number, (a, b) in pairs if a != b), None)
        if epoch:
            lines.append(
                f"metrics: {key} is {values[0][epoch - 1]:.6g} and {values[1][epoch - 1]:.6g} "
                f"after epoch {epoch}"
            )
        elif len(values[0]) != len(values[1]):
            lines.append(f"metrics: {key} has {len(values[0])} and {len(values[1])} values")
    return lines


def _changes(what: str, then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{what}: {key} was {then.get(key, 'absent')}, is {now.get(key, 'absent')}"
        for key in sorted(then.keys() | now.keys())
        if then.get(key) != now.get(key)
    ]
