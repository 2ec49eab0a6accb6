"""Each starter by itself, imported from the unstamped tree: shapes, values, data, scores."""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import random
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

IMAGES = {"input_shape": (1, 28, 28), "num_classes": 10}
TOKENS = {"vocab_size": 63, "block_size": 16, "num_layers": 2, "embedding_dimension": 32}
MODELS = {
    "mnist_classifier": ("MNISTModel", IMAGES),
    "cnn": ("CNN", IMAGES),
    "gpt": ("GPT", TOKENS | {"dropout": 0.0}),
}

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")


@pytest.fixture(params=MODELS)
def make(request, tree):
    """Makes a starter model and a batch of the documented shapes."""
    class_name, arguments = MODELS[request.param]
    cls = getattr(tree(f"models.{request.param}"), class_name)

    def make(size: int = 8):
        torch.manual_seed(0)
        if "vocab_size" in arguments:
            tokens = torch.randint(63, (size, 17))
            return cls(**arguments), (tokens[:, :-1], tokens[:, 1:]), 63
        return cls(**arguments), (torch.rand(size, 1, 28, 28), torch.arange(size) % 10), 10

    return make


def test_shapes_and_types(make):
    model, (inputs, targets), classes = make()
    logits = model(inputs)
    assert logits.shape == (*targets.shape, classes)
    assert logits.dtype == torch.float32


def test_the_first_loss_is_that_of_guessing(make):
    model, batch, classes = make(64)
    assert model.training_step(batch, 0).item() == pytest.approx(math.log(classes), rel=0.15)


def test_a_batch_can_be_overfitted(make):
    model, batch, _ = make()
    model.trainer = None
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.training_step(batch, 0)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_saved_and_loaded_weights_give_the_same_outputs(make, tmp_path):
    model, (inputs, _), _ = make()
    torch.save(model.state_dict(), tmp_path / "weights")
    other, _, _ = make()
    other.load_state_dict(torch.load(tmp_path / "weights", weights_only=True))
    assert torch.equal(model.eval()(inputs), other.eval()(inputs))


def test_gpt_does_not_see_the_future(tree):
    torch.manual_seed(0)
    model = tree("models.gpt").GPT(**TOKENS).eval()
    tokens = torch.randint(63, (2, 16))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % 63
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


def test_gpt_ties_its_output_and_refuses_odd_heads(tree):
    gpt = tree("models.gpt").GPT
    names = [name for name, p in gpt(**TOKENS).named_parameters() if p.shape == (63, 32)]
    assert names == ["token_embedding.weight"]
    with pytest.raises(ValueError, match="num_heads=5 does not divide embedding_dimension=32"):
        gpt(**TOKENS, num_heads=5)


def test_gpt_generates_from_a_beginning_longer_than_a_block(tree):
    model = tree("models.gpt").GPT(**TOKENS).eval()
    tokens = model.generate(torch.zeros(1, 20, dtype=torch.long), length=5)
    assert tokens.shape == (1, 25)
    assert (tokens >= 0).all()
    assert (tokens < 63).all()


# -- MNIST ----------------------------------------------------------------------------------------


@pytest.fixture
def mnist(tree):
    return tree("datasets.mnist_dataset")


def test_the_sample_is_real_digits_and_small(mnist):
    sizes = {split: len(mnist.MNISTDataset(split, source="sample")) for split in SPLITS}
    assert sizes == {"train": 4500, "val": 500, "test": 1000}
    assert sum(path.stat().st_size for path in mnist.SAMPLE.iterdir()) < 1_000_000
    images, targets = mnist.MNISTDataset("train", source="sample").__getitems__(list(range(4500)))
    assert images.shape == (4500, 1, 28, 28)
    assert images.dtype == torch.float32
    assert (images.min(), images.max()) == (0, 1)
    assert targets.dtype == torch.int64
    assert targets.unique().tolist() == list(range(10))
    assert 0.12 < images.mean() < 0.14  # of the full set: 0.1307


SPLITS = ("train", "val", "test")


def test_no_digit_is_in_two_splits(mnist):
    seen = {}
    for split in SPLITS:
        dataset = mnist.MNISTDataset(split, source="sample")
        images, _ = dataset.__getitems__(list(range(len(dataset))))
        for image in images:
            digest = hashlib.md5(image.numpy().tobytes()).hexdigest()
            assert seen.setdefault(digest, split) == split


def idx(values: torch.Tensor) -> bytes:
    header = struct.pack(f">HBB{values.dim()}i", 0, 8, values.dim(), *values.shape)
    return header + values.to(torch.uint8).numpy().tobytes()


@pytest.fixture
def server(tmp_path):
    """A mirror on this machine, whose folder is `server.folder`; counts what it is asked for."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(f"{self.command} {self.path}")

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_address[1]}/"
        yield SimpleNamespace(folder=folder, url=url, asked=asked)
        httpd.shutdown()


@pytest.fixture
def official(mnist, server, monkeypatch):
    """Generated files in the official format, with their checksums, on the mirror."""
    generator = torch.Generator().manual_seed(0)
    contents, files = {}, {}
    for name in mnist.FILES:
        size = 300 if name.startswith("train") else 50
        shape = (size, 28, 28) if "images" in name else (size,)
        contents[name] = idx(torch.randint(10, shape, generator=generator))
        packed = gzip.compress(contents[name], mtime=0)
        (server.folder / f"{name}.gz").write_bytes(packed)
        files[name] = (hashlib.md5(packed).hexdigest(), hashlib.md5(contents[name]).hexdigest())
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(mnist, "MIRRORS", (server.url + "nowhere/", server.url))
    mnist._read_idx.cache_clear()
    yield contents
    mnist._read_idx.cache_clear()


@pytest.mark.parametrize("source", ["auto", "full"])
def test_the_full_set_is_fetched_once(mnist, official, server, tmp_path, source):
    folder = tmp_path / "data"
    for _ in range(2):
        assert mnist.MNISTDataset.prepare(str(folder), source) == {"source": "full"}
    packed = {f"{name}.gz" for name in official}
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == packed
    assert sum(asked == "GET /train-images-idx3-ubyte.gz" for asked in server.asked) == 1
    sizes = [len(mnist.MNISTDataset(split, str(folder), "full")) for split in SPLITS]
    assert sizes == [270, 30, 50]


def test_a_corrupt_or_cut_download_is_never_used(mnist, official, server, tmp_path):
    name = "train-labels-idx1-ubyte.gz"
    whole = (server.folder / name).read_bytes()
    for content in (whole[:-20], whole[:-1] + b"x"):
        (server.folder / name).write_bytes(content)
        with pytest.raises(ConnectionError, match="not the whole file"):
            mnist.MNISTDataset.prepare(str(tmp_path / "data"), "full")
        assert not (tmp_path / "data" / name).exists()
        assert not list((tmp_path / "data").glob("*.part"))
    (server.folder / name).write_bytes(whole)
    assert mnist.MNISTDataset.prepare(str(tmp_path / "data"), "full") == {"source": "full"}


@pytest.mark.parametrize("packed", [True, False])
def test_files_put_there_by_hand_are_checked_and_used(mnist, official, server, tmp_path, packed):
    for name, content in official.items():
        suffix = ".gz" if packed else ""  # packed anew: other bytes than the mirror's
        content = gzip.compress(content, 1) if packed else content
        (tmp_path / f"{name}{suffix}").write_bytes(content)
    assert mnist.MNISTDataset.prepare(str(tmp_path), "auto") == {"source": "full"}
    assert server.asked == []
    assert len(mnist.MNISTDataset("test", str(tmp_path))) == 50


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:-1] + b"!", lambda b: b"hello"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_wrong_file_is_named(mnist, official, tmp_path, packed, damage):
    for name, content in official.items():
        (tmp_path / name).write_bytes(content)
    bad = tmp_path / "t10k-labels-idx1-ubyte"
    content = bad.read_bytes()
    if packed:
        bad.unlink()
        bad, content = bad.with_name(f"{bad.name}.gz"), gzip.compress(content)
    bad.write_bytes(damage(content))
    mnist.MNISTDataset("train", str(tmp_path), "full")  # the other files are sound
    with pytest.raises(ValueError, match=bad.name):
        mnist.MNISTDataset("test", str(tmp_path), "full")


def test_without_a_network_the_sample_is_used_loudly(mnist, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/", "http://127.0.0.1:9/again/"))
    with caplog.at_level(logging.WARNING):
        assert mnist.MNISTDataset.prepare(str(tmp_path), "auto") == {"source": "sample"}
    assert "bundled SAMPLE of 5,000 + 1,000 digits" in caplog.text
    with pytest.raises(ConnectionError, match="could not be fetched"):
        mnist.MNISTDataset.prepare(str(tmp_path), "full")
    caplog.clear()
    assert mnist.MNISTDataset.prepare(str(tmp_path), "sample") == {"source": "sample"}
    assert caplog.text == ""


def test_a_mirror_that_never_answers_does_not_hold_up(tree):
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_address[1]}/"  # listens, but nobody serves
        started = time.monotonic()
        assert not tree("util.download").answers([url, url], within_s=0.5)
        assert time.monotonic() - started < 10  # the default timeout of a socket is none at all


def test_two_processes_fetch_a_file_once(official, server, tmp_path):
    """Each of them goes on only when the file is whole."""
    name = "train-images-idx3-ubyte.gz"
    md5 = hashlib.md5((server.folder / name).read_bytes()).hexdigest()
    download = next(m.__file__ for n, m in sys.modules.items() if n == "tree.util.download")
    code = (
        "import importlib.util as u, pathlib, sys, hashlib\n"
        f"spec = u.spec_from_file_location('download', {download!r})\n"
        "download = u.module_from_spec(spec); spec.loader.exec_module(download)\n"
        f"path = pathlib.Path({str(tmp_path)!r}, 'data', {name!r})\n"
        f"download.fetch([{server.url + name!r}], path, {md5!r})\n"
        f"assert hashlib.md5(path.read_bytes()).hexdigest() == {md5!r}\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert sum(asked == f"GET /{name}" for asked in server.asked) == 1


# -- Text -----------------------------------------------------------------------------------------


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
    loader = DataLoader(dataset, 5, collate_fn=dataset.collate_fn())
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


# -- Scores ---------------------------------------------------------------------------------------


def test_scores_of_classes_by_hand(tree):
    report = tree("evaluators.classification_report")
    # rows: true class. Class 0: 3 of 4 found, 3 of 5 predictions right. Class 2 never occurs.
    scores = report.class_scores(torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    expected = [[3 / 5, 3 / 4, 2 * 3 / 9], [4 / 5, 4 / 6, 2 * 4 / 11], [0, 0, 0]]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.double))


def test_calibration_error_by_hand(tree):
    report = tree("evaluators.classification_report")
    confidences = torch.tensor([0.95, 0.95, 0.55, 0.55])
    correct = torch.tensor([True, True, True, False])
    # ten bins: |0.95 - 1| and |0.55 - 0.5|, each for half of the examples
    assert report.calibration_error(confidences, correct, 10) == pytest.approx(0.05, abs=1e-6)
    assert report.calibration_error(torch.ones(3), torch.ones(3, dtype=torch.bool), 15) == 0


def test_counting_baselines_by_hand(tree):
    losses = tree("evaluators.language_report").baseline_losses
    train, test = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 1, 0])
    unigram, bigram = losses(train.split(2), test.split(1), 2)
    assert unigram == pytest.approx(-(math.log(3 / 7) + math.log(4 / 7)) / 2)
    assert bigram == pytest.approx(-math.log(3 / 4))


def test_a_confusion_matrix_of_many_or_long_classes_is_drawn(tree, tmp_path):
    figure = tree("evaluators.classification_report").confusion_figure
    for names in ([f"class number {i}" for i in range(3)], [str(i) for i in range(40)]):
        confusion = torch.randint(9, (len(names), len(names)))
        figure(names, confusion).savefig(tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 5_000
