"""The service behind something that ends TLS: who asks is said by the PROXY protocol, once."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.controller_slow.live import STARTS_WITHIN_S
from tests.controller_slow.test_service import Service, serving, settings_in
from vct.controller import config

NODE = "fd65:fc41:c50f:1::2"
SERVER = "fd65:fc41:c50f::2"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    environment = settings_in(home)
    path = home / "controller.json"
    config.write(replace(config.load(environment), tls=True), path)
    with serving(environment) as one:
        yield one


def through_tls(service: Service, port: int = 443, source: str = "127.0.0.1") -> HTTPConnection:
    """A connection as hitch makes it."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=STARTS_WITHIN_S)
    connection.sock = socket.create_connection(
        ("127.0.0.1", service.port), source_address=(source, 0)
    )
    connection.sock.sendall(f"PROXY TCP6 {NODE} {SERVER} 40000 {port}\r\n".encode())
    return connection


def ask(connection: HTTPConnection, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", "/api/", headers=named)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if answer.status == 200 else text


def test_it_works(service: Service) -> None:
    connection = through_tls(service)
    for _ in range(3):  # gunicorn itself forgets it after the first
        status, content = ask(connection)
        assert (status, content["uri"]) == (200, f"https://127.0.0.1:{service.port}/api/")
    connection.close()


def test_plain_requests_are_plain(service: Service) -> None:
    connection = HTTPConnection("127.0.0.1", service.port, timeout=STARTS_WITHIN_S)
    assert ask(connection)[1]["uri"].startswith("http://")
    connection.close()


def test_nobody_else_says_who_asks(service: Service) -> None:
    status, _ = ask(through_tls(service, source="127.0.0.2"))
    assert status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_Proto": "https"},
        {"X_Forwarded_Ssl": "on"},
        {"Script_Name": "/elsewhere"},
        {"Proxy_Port": "443"},
    ],
)
def test_no_header_says_it_either(service: Service, headers: dict[str, str]) -> None:
    connection = HTTPConnection("127.0.0.1", service.port, timeout=STARTS_WITHIN_S)
    status, content = ask(connection, **headers)
    connection.close()
    assert (status, content["uri"]) == (200, f"http://127.0.0.1:{service.port}/api/")
