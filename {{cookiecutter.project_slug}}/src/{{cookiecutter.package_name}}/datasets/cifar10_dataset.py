"""CIFAR-10: 60,000 small photographs in ten classes.

Krizhevsky 2009, *Learning multiple layers of features from tiny images*; the official binary
version, which cannot run code as the pickled one can.
"""

from __future__ import annotations

import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock
from torch import Tensor

from ..util.download import check, fetch
from ..util.images import ImagesInMemory

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
SIZE = 171_000_000  # bytes, at most
FILES = {  # split: names
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
RECORD = 1 + 3 * 32 * 32  # bytes: the class, then all reds, greens and blues, row by row


class CIFAR10Dataset(ImagesInMemory):
    """Photographs `(3, 32, 32)` float32 in [0, 1] and targets int64 in 0..9.

    Args:
        split: "train" or "val" (nine and one tenth of the official training split), or "test".
        data_dir: folder of the six official `.bin` files; made by the download. Other files of
            the same format and names are taken as well.
        shift: pixels by which a training image is moved at most, in each direction.
        flip: whether half of the training images are mirrored.

    Raises:
        ValueError: a file in `data_dir` is not what it should be.
    """

    input_shape = (3, 32, 32)
    num_classes = 10
    class_names = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        data_dir: str = "data/cifar10",
        shift: int = 0,
        flip: bool = False,
    ):
        names = FILES["test" if split == "test" else "train"]
        self._files = [Path(data_dir, name) for name in names]
        images, targets = _read(tuple(self._files))
        super().__init__(split, images, targets, shift, flip)

    @classmethod
    def prepare(cls, data_dir: str = "data/cifar10") -> dict:
        """Fetches and unpacks the set (170 MB) unless its files are there.

        Raises:
            ConnectionError: no mirror delivers it.
            ValueError: an archive is there, and is another one.
        """
        folder, names = Path(data_dir), [name for part in FILES.values() for name in part]
        if not all((folder / name).exists() for name in names):
            archive = folder / ARCHIVE
            if archive.exists():  # else it is checked while it comes
                check(archive, MD5)
            fetch([f"{mirror}{ARCHIVE}" for mirror in MIRRORS], archive, MD5, SIZE)
            with FileLock(f"{archive}.lock"), tarfile.open(archive) as packed:
                for name in names:  # these and no others, each whole or not at all
                    part = folder / f"{name}.part"
                    member = packed.extractfile(f"cifar-10-batches-bin/{name}")
                    assert member, f"{name} is no file in {archive}"
                    part.write_bytes(member.read())
                    os.replace(part, folder / name)
        return {}

    def files(self) -> list[Path]:
        return self._files


@cache
def _read(paths: tuple[Path, ...]) -> tuple[Tensor, Tensor]:
    """Images `(N, 3, 32, 32)` uint8 and targets `(N,)` uint8 of binary files. Held once."""
    parts = []
    for path in paths:
        try:
            records = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}): delete or replace it") from None
        if len(records) % RECORD or records[::RECORD].max() > 9:
            raise ValueError(
                f"{path} has no pictures of 3 x 32 x 32 bytes in 10 classes: delete it, and it is "
                "fetched again"
            )
        parts.append(records.view(-1, RECORD))
    records = torch.cat(parts)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].clone()
