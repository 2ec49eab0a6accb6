"""Files in the format of the full set, small and made up, for tests without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write(folder: Path, train: int = 600, test: int = 200) -> None:
    """Writes the six files; a class is a bright bar at a height of its own, in noise."""
    chance = np.random.default_rng(0)
    sizes = {f"data_batch_{number}.bin": train // 5 for number in range(1, 6)}
    for name, size in (sizes | {"test_batch.bin": test}).items():
        labels = chance.integers(10, size=size, dtype=np.uint8)
        images = chance.integers(64, size=(size, 3, 32, 32), dtype=np.uint8)
        for image, label in zip(images, labels):
            image[:, 1 + 3 * label : 4 + 3 * label] += 128
        records = np.concatenate((labels[:, None], images.reshape(size, -1)), axis=1)
        (folder / name).write_bytes(records.tobytes())
