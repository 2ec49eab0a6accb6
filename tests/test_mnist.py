"""MNIST: its sample, the full set fetched once, files put there by hand, no network."""

from __future__ import annotations

import gzip
import hashlib
import logging
import struct
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from helpers import PATIENCE_S, SPLITS


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
def official(tree, mnist, server, monkeypatch):
    """Generated files in the official format, with their checksums, on the mirror."""
    reader = tree("util.idx").read
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
    reader.cache_clear()
    yield contents
    reader.cache_clear()


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
        answers = tree("util.download").answers
        # A socket waits for ever unless it is told otherwise: this would never be done.
        found = []
        asking = threading.Thread(target=lambda: found.append(answers([url] * 2, 0.5)), daemon=True)
        asking.start()
        asking.join(PATIENCE_S)
        assert found == [False]


def test_two_processes_fetch_a_file_once(official, server, tmp_path):
    """Each of them goes on only when the file is whole."""
    name = "train-images-idx3-ubyte.gz"
    md5 = hashlib.md5((server.folder / name).read_bytes()).hexdigest()
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import hashlib, pathlib, helpers\n"
        "download = helpers.tree_module('util.download')\n"
        f"path = pathlib.Path({str(tmp_path)!r}, 'data', {name!r})\n"
        f"download.fetch([{server.url + name!r}], path, {md5!r})\n"
        f"assert hashlib.md5(path.read_bytes()).hexdigest() == {md5!r}\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert sum(asked == f"GET /{name}" for asked in server.asked) == 1
