"""The API's doors: plain and TLS, both families, few callers at a time; and the whole process."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from tests.agent.a_node import ANode
from tests.agent.a_registry import ARegistry
from tests.agent.certificates import AUTHORITY, a_certificate, an_authority, pem, write
from vct.agent import serve
from vct.agent.api import Api
from vct.agent.serve import Doors

ROOT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 20


@pytest.fixture
def doors(node: ANode) -> Iterator[Doors]:
    """Not open yet, on ports of the kernel's choice."""
    write(a_certificate(), node.places.firmware, "api")
    node.cycle()
    found = Doors(Api(node.published, lambda: None), node.places.firmware, (0, 0))
    yield found
    for door in found.opened.values():
        door.server_close()


def plain(doors: Doors, address: str = "::1") -> HTTPConnection:
    return HTTPConnection(address, doors.opened["plain"].server_port)


def tls(doors: Doors, authority: str = AUTHORITY) -> HTTPSConnection:
    context = ssl.create_default_context(cadata=pem(an_authority(authority)[0]))
    return HTTPSConnection("::1", doors.opened["tls"].server_port, context=context)


def said(connection: HTTPConnection) -> dict[str, Any]:
    connection.request("GET", "/confine/api/node/")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + ENDS_WITHIN_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
def test_it_works(address: str, doors: Doors) -> None:
    assert doors.open() == ()
    assert said(plain(doors, address))["state"] == "production"


def test_over_tls_with_the_nodes_certificate(doors: Doors) -> None:
    doors.open()
    assert said(tls(doors))["uri"].startswith("https://")


def test_a_new_certificate_is_taken_up(doors: Doors, node: ANode) -> None:
    doors.open()
    write(a_certificate("another's"), node.places.firmware, "api")
    assert said(tls(doors, "another's"))


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_node_without_a_certificate_says_so(text: str | None, doors: Doors, node: ANode) -> None:
    for name in ("api.crt.pem", "api.key.pem"):
        path = node.places.firmware / name
        path.unlink() if text is None else path.write_text(text)
    (problem,) = doors.open()
    assert "no TLS" in problem.message
    with pytest.raises((ssl.SSLError, ConnectionError)):
        said(tls(doors))
    assert said(plain(doors))


def test_a_port_that_is_taken_is_told_and_tried_again(node: ANode) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
        ports = (taken.getsockname()[1], 0)
        doors = Doors(Api(node.published, lambda: None), node.places.firmware, ports)
        assert "already in use" in doors.open()[0].message
    assert all("in use" not in problem.message for problem in doors.open())
    for door in doors.opened.values():
        door.server_close()
    assert sorted(doors.opened) == ["plain", "tls"]


def test_who_speaks_no_http_or_no_tls_harms_nobody(doors: Doors) -> None:
    doors.open()
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b""):
        with socket.create_connection(("::1", doors.opened["tls"].server_port)) as rude:
            rude.sendall(words)
    assert said(tls(doors))


def test_one_caller_cannot_keep_the_doors_from_others(doors: Doors) -> None:
    doors.open()
    place = ("::1", doors.opened["plain"].server_port)
    silent = [socket.create_connection(place) for _ in range(40)]
    until(lambda: doors._callers._by_address["::1"] == serve.OF_ONE_MAX)
    assert said(plain(doors, "127.0.0.1"))
    for one in silent:
        one.close()
    until(lambda: not doors._callers._by_address)


def test_who_dawdles_is_cut_off(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REQUEST_S", 0.2)
    doors.open()
    with socket.create_connection(("::1", doors.opened["plain"].server_port)) as slow:
        slow.settimeout(ENDS_WITHIN_S)
        slow.sendall(b"GET /confine/api/ HTTP/1.1\r\n")
        assert slow.recv(100) == b""


# --- the process ---------------------------------------------------------------------------------

PROGRAM = """\
import sys
from pathlib import Path
from vct.agent.later import load_later
load_later()
from vct.agent.main import main
from vct.agent.places import Places
root, ports = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
main(Places(firmware=root / "firmware", persist=root / "persist", log=root / "log/agent.log",
    run=root / "run", proc=root / "proc", sys=root / "sys", version=root / "version"), ports)
"""


def free_port() -> int:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as found:
        number: int = found.getsockname()[1]
        return number


@pytest.fixture
def agent(node: ANode) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    write(a_certificate(), node.places.firmware, "api")
    number = free_port()
    root = str(node.places.firmware.parent)
    argv = [sys.executable, "-S", "-c", PROGRAM, root, str(number), str(free_port())]
    process = subprocess.Popen(argv, cwd=ROOT, env={"PATH": os.defpath})
    try:
        yield process, number
    finally:
        process.kill()
        process.wait()


def state_at(number: int) -> str:
    try:
        return str(said(HTTPConnection("::1", number))["state"])
    except (OSError, KeyError):
        return ""


def test_an_agent_is_in_production_by_itself(agent: tuple[Any, int]) -> None:
    until(lambda: state_at(agent[1]) == "production")


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGHUP])
def test_a_signal_begins_a_cycle(
    number: signal.Signals, agent: tuple[Any, int], registry: ARegistry
) -> None:
    until(lambda: state_at(agent[1]) == "production")
    registry.documents["nodes/1/"]["set_state"] = "safe"
    agent[0].send_signal(number)
    until(lambda: state_at(agent[1]) == "safe")


def test_refresh_begins_a_cycle(agent: tuple[Any, int], registry: ARegistry) -> None:
    until(lambda: state_at(agent[1]) == "production")
    registry.documents["nodes/1/"]["set_state"] = "safe"
    connection = HTTPConnection("::1", agent[1])
    connection.request("POST", "/confine/api/node/ctl/refresh/", body="null")
    assert connection.getresponse().status == 200
    until(lambda: state_at(agent[1]) == "safe")


def test_it_ends_when_it_is_told_to(agent: tuple[Any, int]) -> None:
    until(lambda: state_at(agent[1]) == "production")
    agent[0].terminate()
    assert agent[0].wait(ENDS_WITHIN_S) == 0
