"""Downloads: streamed, bounded, checked; the server is one of the test's own on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from vct.build.download import DownloadError, Got, download, public_url, read_url
from vct.errors import UsageError, VctError

CONTENT = b"an image" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        body = CONTENT
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/endless":
            extra = 100 if self.path == "/short" else 0
            self.send_header("Content-Length", str(len(body) + extra))
        self.end_headers()
        if self.path == "/endless":
            body *= 100
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        """Says nothing."""


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


def test_it_works(server: str, tmp_path: Path) -> None:
    got = download(f"{server}/image", tmp_path / "x", sha256=SHA256, size_max=len(CONTENT))
    assert got == Got(sha256=SHA256, size=len(CONTENT))
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_file_url_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "an image").write_bytes(CONTENT)
    url = f"file://{tmp_path}/an%20image"
    assert download(url, tmp_path / "x", size_max=10_000).sha256 == SHA256


def test_another_digest_than_wanted_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(VctError, match=f"has the sha256 {SHA256}, not 00"):
        download(f"{server}/image", tmp_path / "x", sha256="0" * 64, size_max=10_000)


@pytest.mark.parametrize("path", ["image", "endless"])
def test_more_than_allowed_is_not_kept(server: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(DownloadError, match="larger than 100 bytes"):
        download(f"{server}/{path}", tmp_path / "x", size_max=100)
    assert (tmp_path / "x").stat().st_size == 0


def test_an_answer_that_ends_early_is_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="100 bytes too early"):
        download(f"{server}/short", tmp_path / "x", size_max=10_000)


def test_what_is_not_there_is_told_apart(server: str, tmp_path: Path) -> None:
    for url in (f"{server}/missing", f"file://{tmp_path}/missing"):
        with pytest.raises(DownloadError) as caught:
            read_url(url)
        assert caught.value.missing


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(DownloadError, match="cannot be read") as caught:
        read_url("http://127.0.0.1:9/image")
    assert not caught.value.missing


def test_a_redirect_is_followed(server: str) -> None:
    assert read_url(f"{server}/to/{server}/image") == CONTENT


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_off_the_web_is_not(server: str, to: str) -> None:
    with pytest.raises(DownloadError, match=r"not secure|not allowed"):
        read_url(f"{server}/to/{to}")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "/etc/passwd", "data:,x", ""])
def test_other_schemes_are_not_known(url: str) -> None:
    with pytest.raises(UsageError, match="not a URL for this"):
        read_url(url)


def test_passwords_are_not_shown() -> None:
    assert public_url("https://user:secret@host:1/x") == "https://host:1/x"
