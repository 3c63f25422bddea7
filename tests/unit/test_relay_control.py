"""The relay's control socket: lines in, answers out, and clients that misbehave."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vct.drivers.relay_control import CLIENTS, REQUEST_OCTETS, Control


class Desk:
    """A control socket that answers each line with itself in capitals, and its clients."""

    def __init__(self, path: Path) -> None:
        self.epoll = select.epoll()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(CLIENTS * 2)
        self.path = path
        self.control = Control(self.epoll, listening, lambda line: line.upper() + b"\n")

    def client(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(self.path))
        made.setblocking(False)
        self.turn()
        return made

    def turn(self) -> None:
        while ready := self.epoll.poll(0):
            for descriptor, events in ready:
                self.control.handle(descriptor, events)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "s")
    yield made
    made.control.close()
    made.epoll.close()


def test_it_works(desk: Desk) -> None:
    with desk.client() as client:
        client.send(b"one\ntw")
        desk.turn()
        assert client.recv(100) == b"ONE\n"
        client.send(b"o\n")
        desk.turn()
        assert client.recv(100) == b"TWO\n"


def test_a_client_that_hangs_up_in_the_middle_harms_nobody(desk: Desk) -> None:
    with desk.client() as other:
        desk.client().close()
        half = desk.client()
        half.send(b"half a li")
        half.close()
        desk.turn()
        other.send(b"still there\n")
        desk.turn()
        assert other.recv(100) == b"STILL THERE\n"


def test_a_long_answer_waits_for_a_slow_reader(desk: Desk) -> None:
    line = b"x" * 1_000_000
    got = b""
    with desk.client() as client:
        for start in range(0, len(line), 50_000):
            client.send(line[start : start + 50_000])
            desk.turn()
        client.send(b"\n")
        while not got.endswith(b"\n"):
            desk.epoll.poll(1)
            for descriptor, events in desk.epoll.poll(0):
                desk.control.handle(descriptor, events)
            while True:
                try:
                    got += client.recv(65_536)
                except BlockingIOError:
                    break
    assert got == line.upper() + b"\n"


def test_too_many_clients_are_sent_away(desk: Desk) -> None:
    clients = [desk.client() for _ in range(CLIENTS + 1)]
    assert clients[-1].recv(1) == b""
    clients[0].send(b"a\n")
    desk.turn()
    assert clients[0].recv(10) == b"A\n"
    for client in clients:
        client.close()


def test_an_endless_line_is_cut_off(desk: Desk) -> None:
    with desk.client() as client:
        assert sent_until_cut_off(desk, client) < 2 * REQUEST_OCTETS


def sent_until_cut_off(desk: Desk, client: socket.socket) -> int:
    for number in range(1000):
        try:
            client.send(b"x" * 50_000)
        except (BrokenPipeError, ConnectionResetError):
            return number * 50_000
        desk.turn()
    raise AssertionError("never cut off")
