"""Made-up pictures of several sizes and modes, in a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}


def write(folder: Path, each: int = 60) -> None:
    """Writes `each` pictures of a class: its colour, brighter above than below, in noise."""
    chance = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = chance.integers(40, 120, size=2)
            noise = chance.integers(-50, 50, size=(height, width, 3))
            light = np.linspace(50, -50, height)[:, None, None]
            pixels = np.clip(noise + light + colour, 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels)
            if number % 4 == 1:
                image = image.convert("RGBA")
            path = folder / name / f"{number:03d}.{'jpg' if number % 4 == 0 else 'png'}"
            (image.convert("P") if number % 4 == 2 else image).save(path)
