"""What makes a training as fast as its machine allows, and tells when it is not."""

from __future__ import annotations

import contextlib

from pytorch_lightning.profilers import PassThroughProfiler


class NoProfiler(PassThroughProfiler):
    """Lightning's stand-in for no profiler, without a new context manager for each of its calls."""

    nothing = contextlib.nullcontext()

    def profile(self, action_name: str) -> contextlib.nullcontext:
        return self.nothing
