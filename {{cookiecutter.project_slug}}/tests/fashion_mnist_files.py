"""Files in the format of the full set, small and made up, for tests without a network."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write(folder: Path, train: int = 600, test: int = 200) -> None:
    """Writes the four files; a class is a bright bar at a height of its own, in noise."""
    chance = np.random.default_rng(0)
    for part, size in (("train", train), ("t10k", test)):
        labels = chance.integers(10, size=size, dtype=np.uint8)
        images = chance.integers(64, size=(size, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels):
            image[4 + 2 * label : 6 + 2 * label] += 128
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
