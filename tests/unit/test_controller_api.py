"""Asking a controller over HTTP: what is sent, and what comes of answers that are not good."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vct.drivers.controller_api import Api, ControllerError, health

TOKEN = "0123456789abcdef"  # noqa: S105 - nobody's
ANSWERS: dict[str, tuple[int, bytes]] = {
    "/health/": (200, b'{"status": "ok"}'),
    "/sick/health/": (503, b'{"detail": "the database does not answer"}'),
    "/refused/": (403, b'{"detail": "no"}'),
    "/broken/": (500, b"<html>"),
    "/gone/": (204, b""),
}


class Handler(BaseHTTPRequestHandler):
    """Answers from the table; other paths get an echo."""

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        told = {"method": self.command, "path": self.path, "body": body, **dict(self.headers)}
        status, content = ANSWERS.get(self.path, (200, json.dumps(told).encode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """A server on a port of the kernel's choice."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_works(base: str) -> None:
    said = Api(base=base, token=TOKEN).send("POST", "/api/nodes/", {"id": 1})
    assert (said["method"], said["path"], said["body"]) == ("POST", "/api/nodes/", '{"id": 1}')
    assert said["Authorization"] == f"Token {TOKEN}"
    assert said["Content-Type"] == "application/json"


def test_of_an_absolute_uri_only_the_path_is_asked_for(base: str) -> None:
    said = Api(base=base).get("http://[fd65:fc41:c50f::2]/api/nodes/?per_page=1")
    assert said["path"] == "/api/nodes/?per_page=1"
    assert "Authorization" not in said


def test_no_proxy_is_asked(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert Api(base=base).get("/api/")["method"] == "GET"


def test_a_file_is_one_field_of_a_form(base: str, tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"squash" * 1000)
    said = Api(base=base).upload("/x/ctl/upload-image/", file, "mine.squashfs")
    mark = said["Content-Type"].partition("boundary=")[2]
    assert said["body"].startswith(f"--{mark}\r\n")
    assert 'filename="mine.squashfs"' in said["body"]
    assert said["body"].endswith(f"squash\r\n--{mark}--\r\n")


def test_a_refusal_says_what_was_refused_and_why(base: str) -> None:
    with pytest.raises(ControllerError, match=r"GET /refused/: HTTP 403.*no") as caught:
        Api(base=base).get("/refused/")
    assert caught.value.status == 403
    assert caught.value.hint


def test_an_answer_that_is_not_json_is_an_error_too(base: str) -> None:
    with pytest.raises(ControllerError, match="HTTP 500: no reason given"):
        Api(base=base).get("/broken/")


def test_an_empty_answer_is_none(base: str) -> None:
    assert Api(base=base).get("/gone/") is None


def test_no_answer_is_status_0() -> None:
    with pytest.raises(ControllerError) as caught:
        Api(base="http://127.0.0.1:1/").get("/api/")
    assert caught.value.details() == {"status": 0}


def test_health_is_empty_or_what_was_seen(base: str) -> None:
    assert health(base) == ""
    ANSWERS["/health/"], well = ANSWERS["/sick/health/"], ANSWERS["/health/"]
    try:
        assert health(base) == "HTTP 503: the database does not answer"
    finally:
        ANSWERS["/health/"] = well
    assert "refused" in health("http://127.0.0.1:1/")
