"""Image sets: augmentation, official formats, and pictures in folders."""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import SPLITS, everything, maker
from PIL import Image

# -- Augmentation ----------------------------------------------------------------------------------


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
    maker("cifar10").write(tmp_path)
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


# -- Sets in official formats ----------------------------------------------------------------------


def test_fashion_mnist_is_fetched_and_checked(tree, server, tmp_path, monkeypatch):
    module, folder, made = tree("datasets.fashion_mnist_dataset"), tmp_path / "data", tmp_path / "m"
    made.mkdir()
    maker("fashion_mnist").write(made)
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
    maker("cifar10").write(made)
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


# -- Pictures in folders ---------------------------------------------------------------------------


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
    maker("image_folder").write(tmp_path / "one")
    before = {path.name + kind: s for s, kind, path in pictures._pictures(tmp_path / "one")}
    assert set(before.values()) == set(SPLITS)
    Image.new("RGB", (20, 20)).save(tmp_path / "one" / "red" / "0.5.png")
    after = {path.name + kind: s for s, kind, path in pictures._pictures(tmp_path / "one")}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()
    for split in ("train", "test"):
        maker("image_folder").write(tmp_path / "two" / split, each=20)
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
    maker("image_folder").write(tmp_path)
    for path in (tmp_path / "red").iterdir():
        path.write_bytes(b"broken")
    train = pictures.ImageFolderDataset("train", str(tmp_path))
    module = tree("engine.training.loaders").DataModule(
        train, train, {"num_workers": workers}, seed=0
    )
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(
        global_rank=0, world_size=1, strategy=strategy, overfit_batches=0
    )
    with pytest.raises(tree("engine.errors").UserError) as refused:
        list(module.train_dataloader())
    assert re.fullmatch(r"\S+/red/\d+.\w+ cannot be read .* or replace it", str(refused.value))
