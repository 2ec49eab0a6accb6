"""Each starter dataset by itself, imported from the unstamped tree: what it reads and refuses."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import logging
import random
import re
import struct
import subprocess
import sys
import tarfile
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SIDECARS, TREE, serving
from PIL import Image
from torch.utils.data import DataLoader

SPLITS = ("train", "val", "test")
DATASETS = SIDECARS["dataset"]


def made_up(name: str):
    """The module of the tree's tests that writes files for a starter without a sample."""
    spec = importlib.util.spec_from_file_location(name, TREE / "tests" / f"{name}_files.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=DATASETS)
def make(request, tree, tmp_path):
    """Makes a split of a starter dataset, from what is bundled or made up; prepared as in a run."""
    row = DATASETS[request.param]
    cls = getattr(tree(row["files"][0].removesuffix(".py").replace("/", ".")), row["class_name"])
    arguments = {"source": "sample"} if request.param == "mnist" else {}
    if row["tests"]:
        made_up(request.param).write(tmp_path)
        arguments = {"data_dir": str(tmp_path)}
    settled = cls.prepare(**arguments)
    assert json.loads(json.dumps(settled)) == settled  # a run records it
    return lambda split: cls(split, **arguments | settled)


def everything(dataset) -> tuple[torch.Tensor, torch.Tensor]:
    loader = DataLoader(dataset, 64, collate_fn=dataset.collate_fn())
    inputs, targets = (torch.cat(part) for part in zip(*loader, strict=True))
    return inputs, targets


def test_examples_have_the_documented_shapes(make):
    for split in SPLITS:
        dataset = make(split)
        inputs, targets = everything(dataset)
        assert len(inputs) == len(targets) == len(dataset) > 0
        if hasattr(dataset, "input_shape"):
            assert inputs.shape[1:] == dataset.input_shape
        if hasattr(dataset, "vocab_size"):
            assert inputs.dtype == targets.dtype == torch.int64
            assert targets.max() < dataset.vocab_size
            continue
        assert inputs.dtype == torch.float32
        assert inputs.isfinite().all()
        if hasattr(dataset, "num_classes"):
            assert targets.dtype == torch.int64
            assert set(targets.tolist()) == set(range(dataset.num_classes))
            assert len(getattr(dataset, "class_names", range(dataset.num_classes))) == (
                dataset.num_classes
            )
        else:
            assert targets.dtype == torch.float32
            assert targets.shape[1:] == (dataset.horizon, dataset.num_series)


def test_no_example_is_in_two_splits(make):
    """Of series: no value is forecast in two splits. A text's blocks have a test of their own."""
    seen = {}
    for split in SPLITS:
        dataset = make(split)
        inputs, _ = everything(dataset)
        if hasattr(dataset, "starts"):
            own = {start + step for start in dataset.starts.tolist() for step in range(26)}
        else:
            own = {hashlib.md5(x.numpy().tobytes()).hexdigest() for x in inputs}
        assert own
        for name in own:
            assert seen.setdefault(name, split) == split


def test_a_batch_is_its_examples(make):
    dataset = make("val")
    loader = DataLoader(dataset, 5, collate_fn=dataset.collate_fn())
    for part, *items in zip(next(iter(loader)), *(dataset[i] for i in range(5)), strict=True):
        assert torch.equal(part, torch.stack(items))


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
    folder = tmp_path / "mirror"
    folder.mkdir()
    with serving(folder) as server:
        yield server


@pytest.fixture
def official(tree, mnist, server, monkeypatch):
    reader = tree("util.idx").read
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


# -- Augmentation ---------------------------------------------------------------------------------


def test_each_image_of_a_batch_is_moved_and_mirrored_by_its_own_draw(tree):
    augmented = tree("util.images").augmented
    image = torch.arange(1, 2 * 5 * 7 + 1, dtype=torch.uint8).view(2, 5, 7)
    batch = image.expand(2000, -1, -1, -1)
    pad = torch.nn.functional.pad
    possible = {
        (flip, down, right): padded[:, down : down + 5, right : right + 7]
        for down in range(5)
        for right in range(5)
        for flip, padded in ((False, pad(image, [2] * 4)), (True, pad(image.flip(2), [2] * 4)))
    }
    torch.manual_seed(0)
    counts = dict.fromkeys(possible, 0)
    known = {value.numpy().tobytes(): key for key, value in possible.items()}
    for moved in augmented(batch, shift=2, flip=True):
        counts[known[moved.contiguous().numpy().tobytes()]] += 1
    assert min(counts.values()) > 15  # of 40 expected
    assert max(counts.values()) < 80
    assert torch.equal(augmented(batch, 0, False), batch)


def test_chance_is_the_seeds_and_only_training_is_augmented(tree, tmp_path):
    made_up("cifar10").write(tmp_path)
    cifar10 = tree("datasets.cifar10_dataset").CIFAR10Dataset
    augmented, plain = (
        {split: cifar10(split, str(tmp_path), **words) for split in SPLITS}
        for words in ({"shift": 4, "flip": True}, {})
    )
    reads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        reads.append(augmented["train"].__getitems__([3] * 20)[0])
    assert torch.equal(reads[0], reads[1])
    assert not torch.equal(reads[0], reads[2])
    assert len({image.numpy().tobytes() for image in reads[0]}) > 10
    for split in ("val", "test"):
        assert torch.equal(everything(augmented[split])[0], everything(plain[split])[0])
    with pytest.raises(ValueError, match="shift=32: it takes 0 to 31 pixels"):
        cifar10("train", str(tmp_path), shift=32)


# -- Sets in official formats ---------------------------------------------------------------------


def test_fashion_mnist_is_fetched_and_checked(tree, server, tmp_path, monkeypatch):
    module, folder, made = tree("datasets.fashion_mnist_dataset"), tmp_path / "data", tmp_path / "m"
    made.mkdir()
    made_up("fashion_mnist").write(made)
    files = {}
    for path in made.iterdir():
        packed = gzip.compress(path.read_bytes())
        (server.folder / f"{path.name}.gz").write_bytes(packed)
        files[path.name] = hashlib.md5(packed).hexdigest()
    assert set(files) == set(module.FILES)
    monkeypatch.setattr(module, "MIRRORS", (server.url,))
    with pytest.raises(ConnectionError, match="not the whole file"):  # made up, not official
        module.FashionMNISTDataset.prepare(str(folder))
    monkeypatch.setattr(module, "FILES", files)
    module.FashionMNISTDataset.prepare(str(folder))
    asked = len(server.asked)
    module.FashionMNISTDataset.prepare(str(folder))
    module.FashionMNISTDataset.prepare(str(made))  # put there by hand, not packed
    assert len(server.asked) == asked
    assert len(module.FashionMNISTDataset("train", str(folder))) == 540
    for damage, said in (
        (lambda content: content[:-9], "is no whole IDX file"),
        (lambda content: b"hello", "is no whole IDX file"),
        (lambda content: content[:-1] + b"\x0a", "in 10 classes"),
    ):
        path = made / "t10k-labels-idx1-ubyte"
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        tree("util.idx").read.cache_clear()
        with pytest.raises(ValueError, match=f"labels-idx1-ubyte.* {said}|{said}"):
            module.FashionMNISTDataset("test", str(made))
        path.write_bytes(whole)


def test_cifar10_is_fetched_unpacked_and_checked(tree, server, tmp_path, monkeypatch):
    module, folder, made = tree("datasets.cifar10_dataset"), tmp_path / "data", tmp_path / "made"
    made.mkdir()
    made_up("cifar10").write(made)
    (made / "readme.html").write_text("not needed")
    archive = server.folder / module.ARCHIVE
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(made, "cifar-10-batches-bin")
    monkeypatch.setattr(module, "MIRRORS", (server.url,))
    with pytest.raises(ConnectionError, match="not the whole file"):
        module.CIFAR10Dataset.prepare(str(folder))
    monkeypatch.setattr(module, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    for _ in range(2):
        module.CIFAR10Dataset.prepare(str(folder))
    assert sum(word == f"GET /{module.ARCHIVE}" for word in server.asked) == 2
    names = {name for part in module.FILES.values() for name in part}
    assert {path.name for path in folder.glob("*.bin")} == names
    assert not (folder / "readme.html").exists()
    images, targets = everything(module.CIFAR10Dataset("test", str(folder)))
    records = np.frombuffer((made / "test_batch.bin").read_bytes(), np.uint8).reshape(-1, 3073)
    assert targets.tolist() == records[:, 0].tolist()
    assert torch.equal((images * 255).byte().flatten(1), torch.from_numpy(records[:, 1:].copy()))
    (folder / "test_batch.bin").write_bytes(records.tobytes()[:-1])
    module._read.cache_clear()
    with pytest.raises(ValueError, match=r"test_batch\.bin has no pictures of 3 x 32 x 32"):
        module.CIFAR10Dataset("test", str(folder))


# -- Pictures in folders --------------------------------------------------------------------------


@pytest.fixture
def pictures(tree):
    return tree("datasets.image_folder_dataset")


def test_pictures_of_every_mode_and_size_are_read(pictures, tmp_path):
    red = Image.new("RGB", (90, 40), (200, 0, 0))
    deep = Image.fromarray(np.full((40, 50), 51400, np.uint16))  # 200 of 255
    clear = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    turned = Image.new("RGB", (40, 20))
    turned.paste((255, 255, 255), (0, 0, 20, 20))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for name, image in {
        "rgb.png": red,
        "palette.gif": red.convert("P"),
        "cmyk.jpg": red.convert("CMYK"),
        "grey.png": red.convert("L"),
        "bit.png": red.convert("1"),
        "deep.png": deep,
        "clear.png": clear,
    }.items():
        image.save(tmp_path / "a" / name)
    turned.save(tmp_path / "b" / "turned.jpg", exif=exif, quality=100)
    (tmp_path / "a" / ".hidden.png").write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    values = {}
    for split in SPLITS:
        paths = [p for s, _, p in pictures._pictures(tmp_path) if s == split]
        for path in paths:
            values[path.name] = pictures._decoded(path, (3, 16, 16))
    assert len(values) == 8
    for image in values.values():
        assert image.shape == (3, 16, 16)
        assert image.dtype == torch.uint8
    for name in ("rgb.png", "palette.gif"):
        torch.testing.assert_close(
            values[name].float().mean((1, 2)), torch.tensor([200.0, 0, 0]), rtol=0, atol=8
        )
    assert values["deep.png"].unique().tolist() == [200]
    assert values["clear.png"].unique().tolist() == [255]
    top, bottom = values["turned.jpg"].float().mean(0).split(8)
    assert top.mean() > 240
    assert bottom.mean() < 15
    assert pictures._decoded(tmp_path / "a" / "rgb.png", (1, 8, 8)).shape == (1, 8, 8)


def test_splits_of_pictures_are_stable_or_those_of_the_folders(pictures, tmp_path):
    made_up("image_folder").write(tmp_path / "one")
    before = {path.name + kind: s for s, kind, path in pictures._pictures(tmp_path / "one")}
    assert set(before.values()) == set(SPLITS)
    Image.new("RGB", (20, 20)).save(tmp_path / "one" / "red" / "0.5.png")
    after = {path.name + kind: s for s, kind, path in pictures._pictures(tmp_path / "one")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()
    for split in ("train", "test"):
        made_up("image_folder").write(tmp_path / "two" / split, each=20)
    sizes = {s: len(pictures.ImageFolderDataset(s, str(tmp_path / "two"))) for s in SPLITS}
    assert sizes["test"] == 60
    assert sizes["train"] + sizes["val"] == 60
    assert 1 <= sizes["val"] <= 20


def test_bad_pictures_are_refused(pictures, tmp_path):
    dataset, folder = pictures.ImageFolderDataset, tmp_path / "images"
    with pytest.raises(FileNotFoundError, match="put one folder for each class"):
        dataset.prepare(str(folder))
    folder.mkdir()
    with pytest.raises(ValueError, match="no pictures"):
        dataset.prepare(str(folder))
    for number in range(20):
        (folder / "cat").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(folder / "cat" / f"{number}.png")
    with pytest.raises(ValueError, match="one class only, 'cat'"):
        dataset.prepare(str(folder))
    (folder / "dog").mkdir()
    for name in ("a.jpg", "b.png"):
        (folder / "dog" / name).write_bytes(b"not a picture")
    assert dataset.prepare(str(folder)) == {"class_names": ["cat", "dog"]}
    with pytest.raises(Exception, match=r"dog/a.jpg cannot be read as a picture .* replace it"):
        pictures._decoded(folder / "dog" / "a.jpg", (3, 8, 8))
    split = next(split for split, name, _ in pictures._pictures(folder) if name == "dog")
    with pytest.raises(ValueError, match="does not know this class, only cat, cow"):
        dataset(split, str(folder), class_names=["cat", "cow"])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_is_one_line(tree, pictures, tmp_path, workers):
    """Also where it comes from a worker process."""
    made_up("image_folder").write(tmp_path)
    for path in (tmp_path / "red").iterdir():
        path.write_bytes(b"broken")
    train = pictures.ImageFolderDataset("train", str(tmp_path))
    module = tree("engine.training.loaders").DataModule(
        train, train, {"num_workers": workers}, seed=0
    )
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=strategy)
    with pytest.raises(tree("engine.errors").UserError) as refused:
        list(module.train_dataloader())
    assert re.fullmatch(r"\S+/red/\d+.\w+ cannot be read .* or replace it", str(refused.value))


# -- Tables ---------------------------------------------------------------------------------------


@pytest.fixture
def table(tree, tmp_path):
    """Writes a table and makes a split of it."""

    def table(text: str, split="train", **words):
        path = tmp_path / "table.csv"
        path.write_text(text)
        cls = tree("datasets.csv_dataset").CSVDataset
        tree("datasets.csv_dataset")._table.cache_clear()
        return cls(split, str(path), **words)

    return table


def rows_of(count: int, line) -> str:
    return "a,b,y\n" + "".join(line(number) + "\n" for number in range(count))


def test_a_table_is_read_by_its_types(tree):
    cls = tree("datasets.csv_dataset").CSVDataset
    penguins = cls("train")
    assert penguins.num_classes == 3
    assert penguins.class_names == ["Adelie", "Chinstrap", "Gentoo"]
    assert penguins.feature_names[:5] == [
        "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"
    ]  # fmt: skip
    assert penguins.feature_names[-2:] == ["island", "sex"]
    numbers = penguins.features[:, : penguins.num_numbers - 4]
    assert torch.allclose(numbers.mean(0), torch.zeros(5), atol=0.02)
    assert torch.allclose(numbers.std(0), torch.ones(5), atol=0.05)
    sizes = [len(cls(split)) for split in SPLITS]
    assert sum(sizes) == 344
    mass = cls("train", target="body_mass_g")
    assert mass.num_classes is None
    assert mass.to_units(mass.targets).mean() == pytest.approx(mass.target_mean, rel=1e-4)
    assert 4000 < mass.target_mean < 4400
    assert mass.without_target == 2


def test_statistics_are_those_of_the_training_rows(table):
    text = rows_of(200, lambda n: f"{n},{'xyz'[n % 3]},{'no' if n % 2 else 'yes'}")
    known = {split: table(text, split, target="y") for split in SPLITS}
    values = {s: d.features[:, 0] for s, d in known.items()}
    assert values["train"].mean().abs() < 1e-5
    assert values["val"].mean().abs() > 1e-5  # in the units of the training rows
    recorded = known["train"].prepare(known["train"].path, "y")
    other = table(rows_of(50, lambda n: f"{1000 + n},new,yes"), "test", target="y", **recorded)
    assert other.features[:, 0].min() > 5
    assert other.features[:, 1].unique().tolist() == [0]  # a bucket of their own
    assert other.describe()["unknown b"] == len(other)


def test_rows_stay_in_their_split_and_equal_ones_are_together(table):
    def line(n):
        return f"{n % 100},{n % 7},{'no' if n % 2 else 'yes'}"

    places = {}
    for split in SPLITS:
        dataset = table(rows_of(700, line), split, target="y")
        for row in dataset.features.tolist():
            assert places.setdefault(tuple(row), split) == split
    more = rows_of(700, line) + "500,5,no\n"
    assert sum(len(table(more, s, target="y")) for s in SPLITS) == 701


def test_missing_values_and_other_separators(table):
    text = "a;b;y\n" + "".join(
        f"{'NA' if n % 5 == 0 else n};q{n % 2};{n % 3}.5\n" for n in range(90)
    )
    dataset = table(text, target="y")
    assert dataset.feature_names == ["a", "a is missing", "b"]
    missing = dataset.features[:, 1] == 1
    assert 0.1 < missing.float().mean() < 0.3
    assert (dataset.features[missing, 0] == 0).all()
    assert table(text, target="y", categories=["y"]).class_names == ["0.5", "1.5", "2.5"]
    one, two = (table(text, "test", target="y", ignore=name) for name in ("a", "b"))
    assert torch.equal(one.targets, two.targets)  # the same rows
    for names in (["b", "a"], "b,a", "[b, a]"):
        with pytest.raises(ValueError, match="no column beside the target"):
            table(text, target="y", ignore=names)


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", {}, "has no rows below its names"),
        ("a,b,y\n", {}, "has no rows below its names"),
        ("a,a,y\n1,2,3\n", {}, "column 'a' is there twice"),
        ("a,b,y\n1,2\n", {}, "row 2: 2 cells, but there are 3 columns"),
        (rows_of(9, lambda n: f"{n},1,2"), {"target": "z"}, "has no column 'z'; it has a, b, y"),
        (rows_of(9, lambda n: f"{n},inf,2"), {}, "row 2, column 'b': 'inf' is not finite"),
        (
            rows_of(9, lambda n: f"{n},{'x' if n == 4 else n},{n}"),
            {},
            "row 6, column 'b': 'x' is no",
        ),
        (rows_of(9, lambda n: f"1,1,{'x' if n == 4 else n}"), {}, "row 6, column 'y': 'x' is no"),
        (rows_of(90, lambda n: f"{n},1,yes"), {}, "one class only, 'yes'"),
        (rows_of(90, lambda n: f"{n},1,name {n}"), {}, "90 classes in 90 rows"),
        (rows_of(90, lambda n: f"name {n},1,{n % 2}"), {}, "ignore='a'"),
        ("y\n" + "1\n2\n" * 20, {}, "no column beside the target"),
        (rows_of(2, lambda n: f"{n},1,{n}"), {}, "too few rows|more rows"),
    ],
)
def test_bad_tables_are_refused(table, text, words, said):
    with pytest.raises(ValueError, match=rf"table\.csv.*{said}"):
        [table(text, split, **{"target": "y"} | words) for split in SPLITS]


def test_a_class_that_the_training_has_not_seen_is_refused(table):
    text = rows_of(90, lambda n: f"{n},{n % 4},{'no' if n % 2 else 'yes'}")
    known = table(text, target="y")
    statistics = known.prepare(known.path, "y")
    with pytest.raises(ValueError, match="class 'maybe' is not among those of the training: no"):
        table(text.replace("yes", "maybe"), "test", target="y", **statistics)


# -- Series ---------------------------------------------------------------------------------------


@pytest.fixture
def series(tree, tmp_path):
    def series(text: str, split="train", **words):
        path = tmp_path / "series.csv"
        path.write_text(text)
        tree("datasets.time_series_dataset")._read.cache_clear()
        small = {"window": 4, "horizon": 2, "season": 3} | words
        return tree("datasets.time_series_dataset").TimeSeriesDataset(split, str(path), **small)

    return series


def steps_of(count: int, line) -> str:
    return "date,u,v\n" + "".join(line(number) + "\n" for number in range(count))


def test_windows_and_what_follows_them(series):
    text = steps_of(100, lambda n: f"{n},{n},{(n % 3) * 10}")
    for split, (low, high) in {"train": (4, 70), "val": (70, 80), "test": (80, 100)}.items():
        dataset = series(text, split)
        assert dataset.series_names == ["u", "v"]
        windows, targets = everything(dataset)
        assert windows.shape == (high - low - 1, 4, 2)
        both = dataset.to_units(torch.cat((windows, targets), 1))
        first = torch.arange(low - 4.0, high - 5).double()
        expected = first[:, None] + torch.arange(6)
        torch.testing.assert_close(both[..., 0], expected, rtol=0, atol=1e-4)
        naive = dataset.to_units(dataset.seasonal_naive())
        torch.testing.assert_close(naive[..., 1], both[:, 4:, 1], rtol=0, atol=1e-4)
        assert torch.allclose(naive[..., 0], both[:, 4:, 0] - 3, atol=1e-4)
        assert dataset.naive_error.tolist() == [3, 0]
        train = series(text).to_units(series(text).values[:70])
        assert torch.allclose(dataset.mean, train.mean(0))


@pytest.mark.parametrize(
    "date",
    [
        lambda n: f"{2000 + n}",
        lambda n: f"{2000 + n // 12}-{n % 12 + 1:02d}",
        lambda n: f"{2000 + n // 12}-{n % 12 + 1:02d}-01",
        lambda n: f"{2000 + n // 4}-{3 * (n % 4) + 3:02d}-30",
        lambda n: f"2000-01-{n // 24 + 1:02d} {n % 24:02d}:00",
        lambda n: f"200001{n // 4 + 1:02d}" if n % 4 == 0 else None,
        lambda n: f"{n / 10}",
    ],
)
def test_equal_steps_of_every_kind_are_accepted(series, date):
    lines = [date(n) for n in range(100)]
    text = "date,u\n" + "".join(f"{line},{n}\n" for n, line in enumerate(lines) if line)
    assert len(series(text, "test")) > 0


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (
            steps_of(60, lambda n: f"{n + (n > 30)},1,2"),
            {},
            "row 33, .*from '30' to '32' is",
        ),
        (
            steps_of(60, lambda n: f"{n if n != 9 else 3},1,2"),
            {},
            "row 11, .*'3' does not come",
        ),
        (
            steps_of(60, lambda n: f"{n // 2},1,2"),
            {},
            "row 3, .*'0' does not come after",
        ),
        (steps_of(60, lambda n: f"day {n},1,2"), {}, "'day 0' is no number or ISO date"),
        (steps_of(60, lambda n: f"{n},{'' if n == 5 else 1},2"), {}, "row 7, column 'u': '' is no"),
        (steps_of(60, lambda n: f"{n},nan,2"), {}, "row 2, column 'u': 'nan' is no finite number"),
        (steps_of(60, lambda n: f"{n},1,inf"), {}, "row 2, column 'v': 'inf' is no finite number"),
        (
            steps_of(30, lambda n: f"{n},1,2"),
            {"window": 24},
            "train split has 21 steps, too few",
        ),
        (steps_of(60, lambda n: f"{n},1,2"), {"series": ["w"]}, "no column 'w'; it has date, u, v"),
        (steps_of(60, lambda n: f"{n},1,2"), {"time": "t"}, "no column 't'.*time=None"),
        (steps_of(1, lambda n: f"{n},1,2"), {}, "one row only"),
        (steps_of(60, lambda n: f"{n},1,2"), {"window": 0}, "at least 1"),
    ],
)
def test_bad_series_are_refused(series, text, words, said):
    with pytest.raises(ValueError, match=said):
        series(text, **words)


def test_rows_without_a_time_and_single_series(series):
    text = steps_of(60, lambda n: f"day {n},{n},2")
    dataset = series(text, time=None, series=["v"])
    assert dataset.series_names == ["v"]
    assert dataset.values.abs().max() == 0  # of a series that never changes
