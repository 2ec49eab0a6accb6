"""A text as a sequence of characters, in blocks.

The excerpt that ships with this package is described in `shakespeare/SOURCE.md`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from . import SplitDataset

EXCERPT = Path(__file__).parent / "shakespeare" / "shakespeare.txt"
SHARES = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}  # of the text, in its order
STRIDE = 1 << 12  # bytes from one known position of a text to the next
PIECE = 1 << 20  # bytes or characters that are read at once


class CharTextDataset(SplitDataset):
    """Blocks of characters `(T,)` int64 and, as targets, the character after each `(T,)`.

    Blocks do not overlap, so each character is predicted once an epoch; training, validation and
    test are the first 80, the next 10 and the last 10 percent of the text. The file is mapped, not
    loaded: it may be larger than the memory.

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
        self._text = _text(_file(path))
        self.characters = self._text.characters if vocabulary is None else vocabulary
        self.vocab_size = len(self.characters)
        foreign = "".join(sorted(set(self._text.characters) - set(self.characters)))
        if foreign:
            raise ValueError(
                f"{_file(path)} has characters that the vocabulary does not: {foreign[:20]!r}; "
                "a model knows only the characters that it was trained with"
            )
        codes = [ord(character) for character in self.characters]
        self._numbers = torch.zeros(max(codes, default=0) + 1, dtype=torch.long)
        self._numbers[codes] = torch.arange(self.vocab_size)
        self._start, self._stop = self._bounds(split)
        if self._stop - self._start <= block_size:
            raise ValueError(
                f"{_file(path).name}: its {split} split has {self._stop - self._start} characters, "
                f"too few for a block of {block_size} and the next one: take a longer text or a "
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
        return {"vocabulary": vocabulary or _text(_file(path)).characters}

    def _bounds(self, split: str) -> tuple[int, int]:
        start, stop = (round(share * len(self._text)) for share in SHARES[split])
        return start, stop

    def split_tokens(self, split: str) -> Iterator[Tensor]:
        """The characters of a split as numbers, piece by piece `(N,)` int64: baselines count."""
        start, stop = self._bounds(split)
        for at in range(start, stop, PIECE):
            yield self._tokens(np.array([at]), min(PIECE, stop - at))[0]

    def _tokens(self, starts: np.ndarray, length: int) -> Tensor:
        return self._numbers[torch.from_numpy(self._text.codes(starts, length))]

    def __len__(self) -> int:
        return (self._stop - self._start - 1) // self.block_size

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch: inputs and targets, each `(B, T)` int64 in 0..vocab_size-1."""
        starts = self._start + np.array(indices) * self.block_size
        blocks = self._tokens(starts, self.block_size + 1)
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
            "characters": self._stop - self._start,
            "vocabulary": self.vocab_size,
            "text": self.path or "bundled excerpt of Shakespeare",
        }


class _Text:
    """A UTF-8 file as a sequence of characters, read where it is looked at.

    Args:
        path: of the file, which is read through once.

    Attributes:
        characters: that it has, each once, sorted.

    Raises:
        ValueError: it is not UTF-8, or cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._read_through()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as UTF-8 text: {error}") from None
        self._bytes = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, "u1")

    def _read_through(self) -> None:
        decoder, found = codecs.getincrementaldecoder("utf-8")(), b""
        others: set[str] = set()
        counts, ascii_only = [], True
        with self.path.open("rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            self._begin = file.tell()
            while piece := file.read(PIECE):
                text, rest = decoder.decode(piece), piece.translate(None, found)
                if piece.isascii():
                    found += bytes(set(rest))
                elif rest:
                    ascii_only = False
                    others.update(text)
                codes = np.frombuffer(piece, np.uint8)
                marks = range(0, len(piece), STRIDE)
                counts.append(np.add.reduceat((codes & 0xC0) != 0x80, marks, dtype=np.int64))
            decoder.decode(b"", final=True)
        self.characters = "".join(sorted(others.union(found.decode("ascii"))))
        # Characters before each stride; without them, a character is a byte.
        before = np.concatenate([[0], *counts]).cumsum()
        self._length, self._before = int(before[-1]), None if ascii_only else before

    def __reduce__(self):  # a spawned process maps the file itself
        return _text, (self.path,)

    def __len__(self) -> int:
        return self._length

    def codes(self, starts: np.ndarray, length: int) -> np.ndarray:
        """The code points of `length` characters from each of `starts` `(B,)` on: `(B, length)`."""
        if self._before is None:
            places = self._begin + starts[:, None] + np.arange(length)
            return self._bytes[places].astype(np.int64)
        return np.stack([self._decoded(self._before, int(start), length) for start in starts])

    def _decoded(self, before: np.ndarray, start: int, length: int) -> np.ndarray:
        stride = int(np.searchsorted(before, start, side="right")) - 1
        first = self._begin + stride * STRIDE
        window = np.asarray(self._bytes[first : first + STRIDE + 4 * (length + 1)])
        heads = np.flatnonzero((window & 0xC0) != 0x80)  # where a character begins
        here = start - int(before[stride])
        stop = heads[here + length] if here + length < len(heads) else len(window)
        text = window[heads[here] : stop].tobytes().decode("utf-8")
        return np.frombuffer(text.encode("utf-32-le"), np.int32).astype(np.int64)


_text = cache(_Text)


def _file(path: str | None) -> Path:
    return EXCERPT if path is None else Path(path)
