"""Pictures of your own: a folder for each class, any size, any colours."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..engine.errors import UserError
from ..util.images import augmented
from ..util.splits import drawn
from . import SplitDataset

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}  # of the pictures
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolderDataset(SplitDataset):
    """Pairs of a picture `(channels, image_size, image_size)` float32 in [0, 1] and its class.

    `data_dir` has one folder for each class, or folders train, val and test with those in them. A
    split without a folder of its own is cut out of the others by a hash of the files' names: more
    pictures change nothing for those that were there. Pictures are decoded when they are read,
    turned as their camera says, cut to a square in the middle and scaled; what is transparent
    becomes white.

    Args:
        split: "train", "val" or "test": 80, 10 and 10 percent of the pictures.
        data_dir: folder of the pictures.
        image_size: pixels of a side that the model sees.
        channels: 3: red, green and blue; 1: grey.
        shift: pixels by which a training picture is moved at most, in each direction.
        flip: whether half of the training pictures are mirrored.
        class_names: the classes, in the order of their numbers; None: the folders' names. A run
            records it, so that pictures are always read with the model's own numbers.

    Raises:
        ValueError: there are no pictures, or no two classes of them.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        data_dir: str = "data/images",
        image_size: int = 64,
        channels: Literal[1, 3] = 3,
        shift: int = 0,
        flip: bool = False,
        class_names: list[str] | None = None,
    ):
        if not 0 <= shift < image_size:
            raise ValueError(f"image_size={image_size}, shift={shift}: the second is the smaller")
        self.class_names = class_names or self.prepare(data_dir)["class_names"]
        self.num_classes = len(self.class_names)
        self.input_shape = (channels, image_size, image_size)
        is_train = split == "train"
        self.shift, self.flip = shift * is_train, flip and is_train
        found = [item for item in _pictures(Path(data_dir)) if item[0] == split]
        foreign = [path for _, name, path in found if name not in self.class_names]
        if foreign:
            raise ValueError(
                f"{foreign[0].parent}: the model does not know this class, only "
                f"{', '.join(self.class_names)}"
            )
        if not found:
            raise ValueError(f"{data_dir}: no picture falls into the {split} split: add more")
        self.paths = [path for _, _, path in found]
        self.targets = torch.tensor([self.class_names.index(name) for _, name, _ in found])

    @classmethod
    def prepare(cls, data_dir: str = "data/images", class_names: list[str] | None = None) -> dict:
        """Checks that there are pictures; settles the classes.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        folder = Path(data_dir)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {data_dir!r}: put one folder for each class of pictures into "
                "it, or set dataset_args.data_dir"
            )
        if not class_names:
            class_names = sorted({name for _, name, _ in _pictures(folder)})
            if len(class_names) < 2:
                there = f"one class only, {class_names[0]!r}" if class_names else "no pictures"
                raise ValueError(
                    f"{data_dir}: {there}: each class has a folder of its own, with its pictures "
                    f"({', '.join(sorted(SUFFIXES))})"
                )
        return {"class_names": class_names}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: pictures `(B, channels, image_size, image_size)` and targets `(B,)`."""
        images = torch.stack([_decoded(self.paths[i], self.input_shape) for i in indices])
        images = augmented(images, self.shift, self.flip)
        return images.to(torch.float32).div_(255), self.targets[indices]

    def describe(self) -> dict:
        # Of names and sizes: the pictures themselves may take minutes to read.
        listed = "\n".join(f"{path} {path.stat().st_size}" for path in self.paths)
        digest = hashlib.md5(listed.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
        return {"pictures": len(self), "classes": self.num_classes, "list": digest[:8]}


def _pictures(folder: Path) -> list[tuple[str, str, Path]]:
    """Split, class and path of each picture, in an order that is always the same."""
    own = {split: folder / split for split in SHARES if (folder / split).is_dir()}
    if "train" not in own:  # those are classes that happen to have such a name
        own = {}
    rest = {split: share for split, share in SHARES.items() if split not in own or split == "train"}
    found = []
    for fixed, root in own.items() if own else [("", folder)]:
        for path in sorted(root.glob("*/**/*")):
            name = path.relative_to(root)
            if path.suffix.lower() in SUFFIXES and not name.name.startswith("."):
                split = drawn(name.as_posix(), rest) if fixed in ("", "train") else fixed
                found.append((split, name.parts[0], path))
    return found


def _decoded(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """A picture as uint8 `shape`."""
    channels, height, width = shape
    try:
        with Image.open(path) as file:
            file.draft("RGB", (2 * width, 2 * height))  # a large JPEG is decoded at a lower size
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would cut off
                image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).astype("u1"))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = ImageOps.fit(image.convert("RGB" if channels == 3 else "L"), (width, height))
            pixels = np.array(image, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} cannot be read as a picture ({error}): delete it or replace it"
        ) from None
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1)
