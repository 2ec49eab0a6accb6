"""The IDX format of MNIST and the sets that took it over: arrays of bytes, packed or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def are_there(folder: Path, names) -> bool:
    """Whether the folder has each of the files, packed or not."""
    return all(find(folder, name).exists() for name in names)


def find(folder: Path, name: str) -> Path:
    """The file of this name, or else the packed one."""
    return folder / name if (folder / name).exists() else folder / f"{name}.gz"


@cache
def read(path: Path, md5: str | None = None) -> Tensor:
    """The uint8 tensor in an IDX file, `(N, H, W)` or `(N,)`. Read once, held once.

    Args:
        path: of the file; packed if it ends in ".gz".
        md5: of the unpacked content; None: any is right.

    Raises:
        ValueError: the file cannot be read, or is another one.
    """
    content = bytearray()
    try:
        # Piece by piece into what becomes the tensor: a copy would take memory and time.
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            while piece := file.read(1 << 20):
                content += piece
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it or replace it") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest() if md5 else None
    if found != md5:
        raise ValueError(
            f"{path} is not the official file (MD5 of the content {found}, expected {md5}): "
            "delete it, and it is fetched again"
        )
    # The header: two zero bytes, the type (8: bytes), number of sizes, each size in 4 bytes.
    sizes = content[3] if content[:3] == b"\0\0\x08" else 0
    begin = 4 + 4 * sizes
    shape = struct.unpack_from(f">{sizes}i", content, 4) if len(content) > begin else ()
    if not shape or len(content) - begin != math.prod(shape):
        raise ValueError(f"{path} is no whole IDX file of bytes: delete it or replace it")
    return torch.frombuffer(content, dtype=torch.uint8, offset=begin).view(shape)
