"""MNIST: 70,000 handwritten digits (LeCun, Bottou, Bengio and Haffner 1998).

The sample that ships with this package, and its licence (CC BY-SA 3.0; LeCun, Cortes, Burges),
are described in `mnist_sample/SOURCE.md`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from ..util import idx
from ..util.download import answers, fetch
from ..util.images import ImagesInMemory

logger = logging.getLogger(__name__)

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SIZE = 10_000_000  # bytes of each file, at most
FILES = {  # official name: MD5 packed as the mirrors have it, MD5 unpacked
    "train-images-idx3-ubyte": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    "train-labels-idx1-ubyte": (
        "d53e105ee54ea40749a09fcbcd1e9432",
        "a25bea736e30d166cdddb491f175f624",
    ),
    "t10k-images-idx3-ubyte": (
        "9fb629c4189551a2d022fa330f9573f3",
        "2646ac647ad5339dbf082846283269ea",
    ),
    "t10k-labels-idx1-ubyte": (
        "ec29112dd5afa0611ce80d1b7f02629c",
        "27ae3e4e09519cfbb04c329615203637",
    ),
}
SAMPLE = Path(__file__).parent / "mnist_sample"


class MNISTDataset(ImagesInMemory):
    """Digits as images `(1, 28, 28)` float32 in [0, 1] and targets int64 in 0..9.

    Args:
        split: "train" or "val" (nine and one tenth of the official training split), or "test".
        data_dir: folder of the official files, packed (.gz) or not; made by the download.
        source: "full" is the official set, from `data_dir` or else fetched into it; "sample" is
            the first 5,000 + 1,000 digits of it, bundled, and never touches the network; "auto"
            is the full set if it is there or can be fetched, and the sample if not.
        shift: pixels by which a training image is moved at most, in each direction.

    Raises:
        ValueError: a file in `data_dir` is not what it should be.
    """

    input_shape = (1, 28, 28)
    num_classes = 10

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        data_dir: str = "data/mnist",
        source: Literal["auto", "full", "sample"] = "auto",
        shift: int = 0,
    ):
        if source == "auto":
            source = "full" if idx.are_there(Path(data_dir), FILES) else "sample"
        self.source = source
        folder, part = Path(data_dir), "t10k" if split == "test" else "train"
        if source == "sample":
            folder = SAMPLE
        names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        self._files = [idx.find(folder, name) for name in names]
        images, targets = (
            idx.read(path, FILES[name][1] if source == "full" else None)
            for name, path in zip(names, self._files, strict=True)
        )
        super().__init__(split, images[:, None], targets, shift)

    @classmethod
    def prepare(cls, data_dir: str = "data/mnist", source: str = "auto") -> dict:
        """Makes sure of the files; settles what "auto" means.

        Raises:
            ConnectionError: source is "full", the set is not there and no mirror delivers it.
        """
        folder = Path(data_dir)
        if source == "sample" or idx.are_there(folder, FILES):
            return {"source": "sample" if source == "sample" else "full"}
        try:
            urls = {name: [f"{mirror}{name}.gz" for mirror in MIRRORS] for name in FILES}
            first = next(iter(urls.values()))
            if source == "auto" and not answers(first):
                raise ConnectionError("no mirror answers")
            for name, (md5, _) in FILES.items():
                if not (folder / name).exists():
                    fetch(urls[name], folder / f"{name}.gz", md5, SIZE)
        except OSError as error:
            if source == "full":
                raise
            logger.warning(
                "%s\nWARNING: MNIST is not in %s/ and could not be fetched (%s).\n"
                "This run uses the bundled SAMPLE of 5,000 + 1,000 digits. Its scores are lower "
                "than those\nof the full set, and not comparable with them.\n%s",
                "!" * 80,
                folder,
                error,
                "!" * 80,
            )
            return {"source": "sample"}
        return {"source": "full"}

    def files(self) -> list[Path]:
        return self._files

    def describe(self) -> dict:
        return super().describe() | {"source": self.source}
