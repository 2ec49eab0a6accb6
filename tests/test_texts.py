"""A text as a dataset: each character where it is, blocks, splits, what is refused."""

from __future__ import annotations

import random

import pytest
import torch
from helpers import SPLITS
from torch.utils.data import DataLoader


@pytest.fixture
def text(tree):
    return tree("datasets.char_text_dataset")


def test_the_excerpt_is_long_enough_and_splits_follow_each_other(text):
    assert text.EXCERPT.stat().st_size >= 300_000
    content = text.EXCERPT.read_text()
    dataset = text.CharTextDataset("test")
    parts = [dataset.decode(torch.cat(list(dataset.split_tokens(split)))) for split in SPLITS]
    assert "".join(parts) == content
    assert [round(len(part) / len(content), 3) for part in parts] == [0.8, 0.1, 0.1]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
@pytest.mark.parametrize("letters", ["ab\r\n", "añb\U0001f680c\r\n", "日本語", "a" * 500 + "é"])
def test_each_character_of_any_text_is_found_where_it_is(text, tmp_path, letters, mark):
    path, chance = tmp_path / "mine.txt", random.Random(1)
    content = "".join(chance.choices(letters, k=3 * text.PIECE // 2))  # more than is read at once
    path.write_bytes(mark + content.encode())
    dataset = text.CharTextDataset("test", str(path), block_size=7)
    parts = [torch.cat(list(dataset.split_tokens(split))) for split in SPLITS]
    assert "".join(map(dataset.decode, parts)) == content
    train = text.CharTextDataset("train", str(path), block_size=7)
    for index in [0, len(train) - 1, *chance.choices(range(len(train)), k=50)]:
        inputs, targets = train[index]
        assert train.decode(inputs) == content[7 * index : 7 * index + 7]
        assert train.decode(targets) == content[7 * index + 1 : 7 * index + 8]


def test_blocks_predict_each_character_once(text, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("añb\U0001f680c\r\n" * 100, encoding="utf-8")
    dataset = text.CharTextDataset("train", str(path), block_size=7)
    assert dataset.vocab_size == len(set("añb\U0001f680c\r\n"))
    loader = DataLoader(dataset, 5, collate_fn=dataset.collate_fn)
    inputs, targets = (torch.cat(part) for part in zip(*loader))
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs.flatten()[1:], targets.flatten()[:-1])
    (tokens,) = dataset.split_tokens("train")
    assert torch.equal(targets.flatten(), tokens[1 : 1 + targets.numel()])
    assert dataset.decode(dataset.encode("añ\U0001f680?")) == "añ\U0001f680"


def test_bad_texts_are_refused(text, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no text file 'missing.txt'"):
        text.CharTextDataset.prepare("missing.txt")
    short, binary = tmp_path / "short.txt", tmp_path / "binary.txt"
    short.write_text("too short")
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"short.txt: its train split has 7 characters"):
        text.CharTextDataset("train", str(short))
    with pytest.raises(ValueError, match=r"binary.txt cannot be read as UTF-8"):
        text.CharTextDataset("train", str(binary))
    with pytest.raises(ValueError, match="at least one character"):
        text.CharTextDataset("train", block_size=0)
