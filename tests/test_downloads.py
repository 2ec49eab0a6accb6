"""Mirrors that are slow, break off or send something else give their turn to the next."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading

import pytest

FILE = bytes(range(256)) * 1000
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def drip(connection):
    connection.sendall(HEAD + b"Content-Length: 256000\r\n\r\n")
    while not done.wait(0.05):
        connection.sendall(b"x")


def overflow(connection):
    connection.sendall(HEAD + b"\r\n")
    while not done.is_set():
        connection.sendall(FILE)


MIRRORS = {  # what a mirror does with a connection: what is said of it
    "slow": (drip, "bytes a second only"),
    "endless": (overflow, "sends more than the 300,000 bytes"),
    "short": (
        lambda c: c.sendall(HEAD + b"Content-Length: 256000\r\n\r\n" + FILE[:1000]),
        "file: ",
    ),
    "torn chunk": (lambda c: c.sendall(CHUNKED + b"3e8\r\nabc"), "file: "),
    "no number": (lambda c: c.sendall(HEAD + b"Content-Length: many\r\n\r\n" + FILE), "file: "),
    "no HTTP": (lambda c: c.sendall(b"220 ready for mail\r\n"), "ready for mail"),
    "nothing": (lambda c: None, "file: "),
    "an error": (lambda c: c.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "503"),
    "another file": (
        lambda c: c.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc"),
        "not the whole file, or another one",
    ),
}
done = threading.Event()


@pytest.fixture
def mirror():
    """Serves every connection by a function; returns its address."""
    sockets = []

    def serve(answer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    with contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"

    done.clear()
    yield serve
    done.set()
    for listener in sockets:
        listener.close()


def good(connection):
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(FILE) + FILE)


@pytest.mark.parametrize("name", MIRRORS)
def test_the_next_mirror_has_its_turn(tree, mirror, tmp_path, monkeypatch, capsys, name):
    download = tree("util.download")
    monkeypatch.setattr(download, "SLOW_S", 0.5)
    bad, said = MIRRORS[name]
    md5, path = hashlib.md5(FILE).hexdigest(), tmp_path / "file"
    urls = [mirror(bad), mirror(good)]
    with pytest.raises(ConnectionError, match=re.escape(said)) as caught:
        download.fetch(urls[:1], path, md5, 300_000)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    download.fetch(urls, path, md5, 300_000)
    assert path.read_bytes() == FILE
    assert "fetch  file from 127.0.0.1 0.3 MB\n" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.part"))


def test_an_archive_that_is_there_is_looked_at(tree, tmp_path):
    download = tree("util.download")
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(FILE)
    download.check(path, hashlib.md5(FILE).hexdigest())
    path.write_bytes(FILE[:-1])
    with pytest.raises(ValueError, match="is not the official file"):
        download.check(path, hashlib.md5(FILE).hexdigest())
