"""A text as a sequence of characters, in blocks.

The excerpt that ships with this package is described in `shakespeare/SOURCE.md`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from . import SplitDataset

EXCERPT = Path(__file__).parent / "shakespeare" / "shakespeare.txt"
SHARES = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}  # of the text, in its order


class CharTextDataset(SplitDataset):
    """Blocks of characters `(T,)` int64 and, as targets, the character after each `(T,)`.

    Blocks do not overlap, so each character is predicted once an epoch; training, validation and
    test are the first 80, the next 10 and the last 10 percent of the text.

    Args:
        split: "train", "val" or "test".
        path: your own text file, UTF-8; None is the bundled excerpt of Shakespeare.
        block_size: T, characters in a block; the most that a model sees at once.
        vocabulary: the characters, each once, in the order of their numbers; None: those of the
            text. A run records it, so that a text is always read with the model's own numbers.

    Raises:
        ValueError: the file cannot be read as text, has characters outside the vocabulary, or a
            split is shorter than a block.
    """

    def __init__(
        self,
        split: Literal["train", "val", "test"],
        path: str | None = None,
        block_size: int = 64,
        vocabulary: str | None = None,
    ):
        if block_size < 1:
            raise ValueError(f"block_size={block_size}: a block has at least one character")
        self.path, self.block_size = path, block_size
        self.characters, self._text = _encode(_file(path), vocabulary)
        self.vocab_size = len(self.characters)
        self.tokens = self.split_tokens(split)
        if len(self.tokens) <= block_size:
            raise ValueError(
                f"{path or EXCERPT.name}: its {split} split has {len(self.tokens)} characters, too "
                f"few for a block of {block_size} and the next one: take a longer text or a "
                "smaller block_size"
            )

    @classmethod
    def prepare(cls, path: str | None = None, vocabulary: str | None = None) -> dict:
        """Checks that the text is there; settles the vocabulary.

        Raises:
            FileNotFoundError: it is not.
        """
        if not _file(path).is_file():
            raise FileNotFoundError(f"there is no text file {path!r}")
        if vocabulary is None:
            vocabulary = _vocabulary(_read(_file(path)))
        return {"vocabulary": vocabulary}

    def split_tokens(self, split: str) -> Tensor:
        """The characters of a split as numbers, `(N,)`: baselines are counted on "train"."""
        start, end = (round(share * len(self._text)) for share in SHARES[split])
        return self._text[start:end]

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.block_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self.__getitems__([index])
        return inputs[0], targets[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: inputs and targets, each `(B, T)` int64 in 0..vocab_size-1."""
        starts = torch.as_tensor(indices)[:, None] * self.block_size
        blocks = self.tokens[starts + torch.arange(self.block_size + 1)].long()
        return blocks[:, :-1], blocks[:, 1:]

    def encode(self, text: str) -> Tensor:
        """The numbers of characters, `(T,)`; those that the text does not have are left out."""
        number = {character: i for i, character in enumerate(self.characters)}
        return torch.tensor([number[c] for c in text if c in number], dtype=torch.long)

    def decode(self, tokens: Tensor) -> str:
        """The text of numbers `(T,)`."""
        return "".join(self.characters[i] for i in tokens.tolist())

    def files(self) -> list[Path]:
        return [_file(self.path)]

    def describe(self) -> dict:
        return {
            "characters": len(self.tokens),
            "vocabulary": self.vocab_size,
            "text": self.path or "bundled excerpt of Shakespeare",
        }


def _file(path: str | None) -> Path:
    return EXCERPT if path is None else Path(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark is no character of it
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _vocabulary(text: str) -> str:
    return "".join(sorted(set(text)))


@cache
def _encode(path: Path, vocabulary: str | None) -> tuple[str, Tensor]:
    """The vocabulary, that of the file where none is given, and the file as numbers of it."""
    text = _read(path)
    if vocabulary is None:
        vocabulary = _vocabulary(text)
    foreign = "".join(sorted(set(text) - set(vocabulary)))
    if foreign:
        raise ValueError(
            f"{path} has characters that the vocabulary does not: {foreign[:20]!r}; "
            "a model knows only the characters that it was trained with"
        )
    number = {ord(character): i for i, character in enumerate(vocabulary)}
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    distinct, positions = np.unique(codes, return_inverse=True)
    # The smallest type that holds them: a text is kept in memory once.
    small = np.uint8 if len(vocabulary) <= 256 else np.int32
    numbers = np.array([number[code] for code in distinct.tolist()], dtype=small)
    return vocabulary, torch.from_numpy(numbers[positions])
