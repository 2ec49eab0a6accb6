"""What a profiled training shows of where its time went."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler

from ..processes import say

SHOWN_LINES = 60  # of other profilers than the simple one; a longer report is in its file only


class ProfileReport(Callback):
    """Shows the costliest actions, and writes all of them into the folder of the run.

    When the training ends and not later: `AdvancedProfiler.teardown` (2.6) forgets what it has
    measured, and what profilers say by themselves goes to a log of Lightning's that is not shown.

    Args:
        folder: of the run; None if nothing is stored.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
        summary, shown = profiler.summary(), _costliest(profiler)
        if self.folder and trainer.is_global_zero:
            (self.folder / "profile.txt").write_text(summary, encoding="utf-8")
            if (lines := summary.count("\n")) > SHOWN_LINES and not shown:
                shown = f"profile  {lines:,} lines in {self.folder / 'profile.txt'}"
        say(shown or summary)


def _costliest(profiler: Profiler) -> str:
    """The costliest actions of Lightning's simple profiler; "" for any other."""
    durations = getattr(profiler, "recorded_durations", None)
    if not durations:
        return ""
    totals = sorted(((sum(times), name) for name, times in durations.items()), reverse=True)
    lines = [f"{'seconds':>8}  {'calls':>6}  action (they contain each other; all: profile.txt)"]
    lines += [
        f"{total:8.3f}  {len(durations[name]):6d}  {name[:70]}" for total, name in totals[:20]
    ]
    return "\n".join(lines)
