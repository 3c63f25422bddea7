"""Nodes are asked over HTTP: good answers, bad ones, none, and those that change their mind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from vct.drivers import netns, node_probe
from vct.drivers.node_probe import Answer, parse_answer

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No namespace is entered: all is on loopback."""
    monkeypatch.setattr(netns, "entered", lambda _name: nullcontext())


@contextmanager
def node(answers: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A server on loopback that says something to its n-th question; what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(node_probe, "PORT", server.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(4096))
                    connection.sendall(answers(len(asked)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def saying(state: str) -> bytes:
    return HEAD + json.dumps({"state": state}).encode()


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    with node(lambda _n: saying("safe"), monkeypatch) as asked:
        answer = node_probe.ask("any", {"0001": "127.0.0.1"})["0001"]
    assert answer.document == {"state": "safe"}
    assert answer.reachable
    assert answer.rtt_ms is not None
    assert 0 < answer.rtt_ms < 100
    assert asked[0].startswith(b"GET /confine/api/node/ HTTP/1.0\r\nHost: 127.0.0.1\r\n")


def test_who_is_not_there_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with node(lambda n: saying("safe" if n < 3 else "production"), monkeypatch) as asked:
        found = node_probe.watch(
            "any",
            {"0001": "127.0.0.1"},
            lambda _node, one: (one.document or {}).get("state") == "production",
            20,
        )
    assert found["0001"].document == {"state": "production"}
    assert len(asked) == 3


def test_who_refuses_is_reachable_and_has_no_document(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(node_probe, "PORT", server.getsockname()[1])
    answer = node_probe.ask("any", {"0001": "127.0.0.1"})["0001"]
    assert (answer.reachable, answer.document) == (True, None)
    assert answer.seen == "Connection refused"


def test_who_is_silent_is_left_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(node_probe, "PORT", server.getsockname()[1])
        answer = node_probe.ask("any", {"0001": "127.0.0.1"}, 0.2)["0001"]
    assert (answer.document, answer.seen) == (None, "no answer")


def test_nobody_is_asked_of_nobody() -> None:
    assert node_probe.ask("any", {}) == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0", "closed without an answer"),
        (b"HTTP/1.0 503 Busy\r\n\r\n{}", "HTTP 503"),
        (HEAD + b"{", "the answer is not JSON"),
        (HEAD + b"[1]", "the answer is not a JSON object"),
        (HEAD + b"\xff\xfe\xfd", "the answer is not JSON"),
        (HEAD + b"[" * 100_000, "the answer is not JSON"),
    ],
)
def test_what_is_no_answer_says_why(said: bytes, words: str) -> None:
    assert parse_answer(said, 1.0) == Answer(reachable=True, rtt_ms=1.0, seen=words)
