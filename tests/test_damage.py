"""Damaged checkpoints, a full disk, a vanished folder, many runs at once: named, and survived."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import zipfile

import pytest
import torch
from helpers import finish, read, until
from shaky import RESUME, TRAIN


def replace(path, content):
    path.unlink()  # which may be the same file as `best.ckpt`, under another name
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_named_and_the_newest_sound_one_taken(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    checkpoints = tmp_path / "model_data" / "Shaky" / "1" / "checkpoints"
    last, further = checkpoints / "last.ckpt", [*RESUME, "trainer_args.max_epochs=6"]
    replace(last, last.read_bytes()[:-100])
    assert fork(tmp_path, further) == 0
    printed = (tmp_path / "log.txt").read_text()
    assert re.search(r"WARNING: \S*last.ckpt is damaged: .*; resuming from best.ckpt", printed)

    content = bytearray(last.read_bytes())
    with zipfile.ZipFile(last) as archive:  # one bit of a weight: only the checksum can tell
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        content[largest.header_offset + 200] ^= 1
    replace(last, content)
    replace(checkpoints / "best.ckpt", b"")
    assert fork(tmp_path, [*RESUME, "trainer_args.max_epochs=7"]) == 1
    final = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert "last.ckpt is damaged" in final
    assert "best.ckpt is damaged" in final


def test_what_could_run_code_is_not_loaded(fork, tmp_path):
    assert fork(tmp_path, TRAIN) == 0
    last = tmp_path / "model_data" / "Shaky" / "1" / "checkpoints" / "last.ckpt"

    class Planted:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/planted",)

    content = torch.load(last, weights_only=True) | {"planted": Planted()}
    torch.save(content, last)
    assert fork(tmp_path, [*RESUME, "trainer_args.max_epochs=6"]) == 1
    final = (tmp_path / "log.txt").read_text().strip().splitlines()[-1]
    assert "holds objects that could run code" in final
    assert not (tmp_path / "planted").exists()
    pickle.loads(pickle.dumps(Planted()))  # it would have
    assert (tmp_path / "planted").exists()


def test_a_full_disk_ends_the_run_and_spares_what_was_saved(fork, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own takes the right to mount one")
    try:
        # Of the two files of 7.5 MB that the second save needs at once one fits.
        words = ["train", "with", "dataset_args.source=sample", f"log_dir={disk}"]
        assert fork(tmp_path, words) == 1
        printed = (tmp_path / "log.txt").read_text()
        assert "No space left on device" in printed.strip().splitlines()[-1]
        assert "could not be written" in printed.strip().splitlines()[-1]
        assert "Traceback" not in printed
        checkpoints = list(disk.glob("MNISTModel/1/checkpoints/*"))
        assert {path.suffix for path in checkpoints} == {".ckpt"}
        for path in checkpoints:
            torch.load(path, weights_only=True)
        read(disk / "MNISTModel" / "1" / "run.json")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_vanished_folder_ends_the_run(fork, shaky, tmp_path):
    process = shaky.start(*TRAIN, "trainer_args.max_epochs=999", cwd=tmp_path)
    until(process, "epoch 2/")
    # While it runs it is locked: a second process may look, but not train.
    assert fork(tmp_path, RESUME) == 1
    refusal = f"Shaky/1 is being trained by process {process.pid} on "
    assert refusal in (tmp_path / "log.txt").read_text()
    (tmp_path / "model_data").rename(tmp_path / "elsewhere")
    printed = finish(process)
    assert process.returncode == 1, printed
    assert (
        "could not be written ([Errno 2] No such file or directory"
        in printed.strip().splitlines()[-1]
    )
    assert "Traceback" not in printed


def test_eight_at_once(fork, tmp_path):
    words = [*TRAIN, "trainer_args.max_epochs=2"]
    assert fork(tmp_path, words, copies=8) == [0] * 8
    runs = sorted((tmp_path / "model_data" / "Shaky").iterdir())
    assert [run.name for run in runs] == list("12345678")
    for run in runs:
        text = (run / "cout.txt").read_text()
        assert text.startswith("data   Noisy")
        assert f"stored in model_data/Shaky/{run.name}" in text
        assert read(run / "run.json")["status"] == "COMPLETED"
