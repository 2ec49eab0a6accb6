"""Fashion-MNIST: 70,000 pictures of clothing (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747).

Ten classes in the format of the handwritten digits that it was made to replace; licence: MIT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..util import idx
from ..util.download import fetch
from ..util.images import ImagesInMemory

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
SIZE = 30_000_000  # bytes of each file, at most
FILES = {  # official name: MD5 packed, as the mirrors have it
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}


class FashionMNISTDataset(ImagesInMemory):
    """Clothing as images `(1, 28, 28)` float32 in [0, 1] and targets int64 in 0..9.

    Args:
        split: "train" or "val" (nine and one tenth of the official training split), or "test".
        data_dir: folder of the official files, packed (.gz) or not; made by the download. Other
            files of the same format and names are taken as well.
        shift: pixels by which a training image is moved at most, in each direction.
        flip: whether half of the training images are mirrored.

    Raises:
        ValueError: a file in `data_dir` is not what it should be.
    """

    input_shape = (1, 28, 28)
    num_classes = 10
    class_names = (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "boot",
    )

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        data_dir: str = "data/fashion_mnist",
        shift: int = 0,
        flip: bool = False,
    ):
        part = "t10k" if split == "test" else "train"
        names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        self._files = [idx.find(Path(data_dir), name) for name in names]
        images, targets = map(idx.read, self._files)
        for path, found in zip(self._files, (images.shape, targets.shape), strict=True):
            if found[:1] != targets.shape or found[1:] not in ((), (28, 28)) or targets.max() > 9:
                raise ValueError(f"{path} has no {len(targets)} pictures of 28 x 28 in 10 classes")
        super().__init__(split, images[:, None], targets, shift, flip)

    @classmethod
    def prepare(cls, data_dir: str = "data/fashion_mnist") -> dict:
        """Fetches the files that are not there (31 MB in all).

        Raises:
            ConnectionError: no mirror delivers one of them.
        """
        for name, md5 in FILES.items():
            path = Path(data_dir, f"{name}.gz")
            if not path.with_suffix("").exists():
                fetch([f"{mirror}{path.name}" for mirror in MIRRORS], path, md5, SIZE)
        return {}

    def files(self) -> list[Path]:
        return self._files
