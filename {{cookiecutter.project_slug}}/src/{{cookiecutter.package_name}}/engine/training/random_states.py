"""The states of the global random number generators, as values that load without running code."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """The states of the generators of torch (CPU and CUDA), Python and NumPy in this process."""
    numpy_state: Any = np.random.get_state()  # a tuple: `legacy` defaults to True
    name, keys, *rest = numpy_state
    version, internal, gauss = random.getstate()
    # Asking for a CUDA state would initialise CUDA, with some hundred MB, in a run on the CPU.
    has_cuda = torch.cuda.is_initialized()
    cuda = torch.cuda.get_rng_state_all() if has_cuda else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        # Tensors: `torch.load(weights_only=True)` refuses an array, and takes 600 numbers apart.
        "python": (version, torch.tensor(internal), gauss),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Puts back what `random_states` returned; CUDA's only on as many devices as there were."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    version, internal, gauss = states["python"]
    if isinstance(internal, torch.Tensor):  # up to version 0.4.0: a tuple of numbers
        internal = internal.tolist()
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
