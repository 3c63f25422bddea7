"""A registry that misbehaves: each fault is told, and nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.agent.a_node import ARCH, ANode, a_config
from tests.agent.a_registry import (
    ARegistry,
    Reply,
    a_registry,
    hangs_up,
    send,
    stops_in_the_middle,
)
from tests.agent.certificates import AUTHORITY, a_certificate, write
from vct.agent.problems import Fault, RegistryError
from vct.agent.registry import ANSWER_MAX, Registry
from vct.wire.firmware import RegistrySection

BIG = b'{"id": 1, "name": "' + b"x" * ANSWER_MAX + b'"}'


def a_client(base: str, total_s: float = 20) -> Registry:
    return Registry(RegistrySection(base_uri=base, cert=""), Path("/"), total_s=total_s)


def test_it_works(registry: ARegistry) -> None:
    client = a_client(registry.base)
    found = client.get("/api/nodes/1/")
    assert found.body["name"] == "roof"
    assert found.links[0][0].endswith("registry/base")
    assert client.get("/api/nodes/1/", found) is found
    client.close()


def every(status: int, content: bytes = b"", **headers: str) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        send(handler, status, content, **headers)

    return reply


def goes_round(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 301, Location=handler.path)


FAULTS = {
    "an error": (every(500), "answers 500"),
    "a proxy's error": (every(502, b"<html>Bad Gateway"), "answers 502"),
    "no room": (every(503), "answers 503"),
    "not allowed": (every(403), "answers 403"),
    "garbage": (every(200, b"\x00\xff\xfe"), "not JSON"),
    "a page": (every(200, b"<html>Welcome!</html>"), "not JSON"),
    "a list": (every(200, b"[]"), "not a JSON object"),
    "a number that is none": (every(200, b'{"id": NaN}'), "not JSON"),
    "half a character": (every(200, b'{"id": "\\ud800"}'), "not JSON"),
    "something deep": (every(200, b'{"a":' * 50_000), "not JSON"),
    "too much": (every(200, BIG), "longer than"),
    "nothing": (hangs_up, "does not answer"),
    "half an answer": (stops_in_the_middle, "half an answer"),
    "a redirect elsewhere": (every(302, Location="http://[::2]/api/nodes/1/"), "not at the reg"),
    "a redirect to a file": (every(302, Location="file:///etc/passwd"), "not at the registry"),
    "a redirect to nowhere": (every(302), "in circles"),
    "a redirect to itself": (goes_round, "in circles"),
    "not modified, out of the blue": (every(304), "answers 304"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_node_stays_what_it_was(name: str, node: ANode, registry: ARegistry) -> None:
    node.cycle()
    before = node.places.state.read_text(), node.authorized()
    registry.every, words = FAULTS[name]
    node.places.cache.unlink()
    node.restart()
    said = node.cycle()
    assert words in node.errors()
    assert said["state"] == "production"
    assert (node.places.state.read_text(), node.authorized()) == before
    registry.every = None
    assert node.cycle()["errors"] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_node_that_never_got_orders_is_safe(name: str, node: ANode, registry: ARegistry) -> None:
    registry.every, words = FAULTS[name]
    assert node.cycle()["state"] == "safe"
    assert words in node.said("/node/")["message"]


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("path", ["", "groups/2/", "users/1/", "slivers/30/", "templates/3/"])
def test_one_document_that_cannot_be_had_harms_no_other(
    path: str, name: str, node: ANode, registry: ARegistry
) -> None:
    registry.populate(arch=ARCH, slivers=2)
    registry.replies[path], _ = FAULTS[name]
    said = node.cycle()
    assert said["state"] == "production"
    assert said["errors"]
    assert f"{said['api']['base_uri']}slivers/31/" in [one["uri"] for one in said["slivers"]]


@pytest.mark.parametrize("path", ["groups/2/", "users/1/", "slivers/30/", "slices/12/"])
def test_what_was_had_before_holds_on(path: str, node: ANode, registry: ARegistry) -> None:
    node.cycle()
    before = node.said("/slivers/30/") | {"errors": []}
    registry.answers(path, 500)
    node.cycle()
    assert node.said("/slivers/30/") | {"errors": []} == before
    assert "answers 500" in node.errors()


def test_a_node_that_the_registry_does_not_know_is_in_debug(
    node: ANode, registry: ARegistry
) -> None:
    node.cycle()
    del registry.documents["nodes/1/"]
    said = node.cycle()
    assert said["state"] == "debug"
    assert "enrol it again" in said["errors"][0]["message"]
    assert node.authorized() != ""
    assert said["slivers"] != []


def test_a_registry_that_is_gone_and_comes_back(node: ANode, registry: ARegistry) -> None:
    documents = dict(registry.documents)
    node.cycle()
    node.agent.failures = 0
    registry.every = hangs_up
    waits = []
    for _ in range(20):
        node.cycle()
        waits.append(node.agent.pause_s)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.5, 300)
    registry.every, registry.documents = None, documents
    node.cycle()
    assert node.agent.pause_s == node.config.agent.poll_s


@pytest.mark.parametrize(
    "uri",
    [
        "http://[::2]/api/groups/2/",
        "http://user@[::1]/api/groups/2/",
        "ftp://[::1]/api/groups/2/",
        "//[::1",
        "http://[::1]:99999/",
        "/etc/passwd",
        "",
    ],
)
def test_other_addresses_are_never_asked(uri: str, node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"]["group"] = {"uri": uri}
    node.cycle()
    assert "/group" in node.errors()


def test_either_scheme_of_a_usual_port_is_the_registrys() -> None:
    client = a_client("https://[fd65::2]/api/")
    assert client.place("http://[fd65::2]/api/groups/2/") == "/api/groups/2/"
    with pytest.raises(RegistryError):
        client.place("http://[fd65::2]:8080/api/groups/2/")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_an_address_without_a_port_has_the_usual_one(
    scheme: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def connect(address: tuple[str, int], *args: object, **kwargs: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(RegistryError):
        a_client(f"{scheme}://[fd65:fc41:c50f::2]/api/").get("/api/")
    assert asked == [("fd65:fc41:c50f::2", port)]


def test_a_path_cannot_bring_a_header(registry: ARegistry) -> None:
    with pytest.raises(RegistryError):
        a_client(registry.base).place(f"{registry.base}a b\r\nX: y")


def test_an_answer_that_drips_is_cut_off(registry: ARegistry) -> None:
    def drips(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            sleep(0.05)

    registry.every = drips
    with pytest.raises(RegistryError) as caught:
        a_client(registry.base, total_s=0.3).get("/api/")
    assert caught.value.fault is Fault.UNREACHABLE


def test_nobody_there() -> None:
    with a_registry() as gone:
        base = gone.base
    with pytest.raises(RegistryError) as caught:
        a_client(base).get("/api/")
    assert caught.value.fault is Fault.UNREACHABLE


def test_a_connection_that_ended_meanwhile_is_made_anew(registry: ARegistry) -> None:
    client = a_client(registry.base)
    client.get("/api/")

    def ends(handler: BaseHTTPRequestHandler) -> None:
        registry.every = None
        handler.close_connection = True

    registry.every = ends
    assert client.get("/api/")
    client.close()


# --- TLS -----------------------------------------------------------------------------------------


@contextmanager
def a_tls_node(directory: Path, authority: str = AUTHORITY, **how: Any) -> Iterator[ANode]:
    signed = a_certificate(authority, **how)
    with a_registry(write(signed, directory)) as registry:
        registry.populate(arch=ARCH)
        yield ANode(directory, a_config(registry.base, cert="registry.crt.pem"))


def test_over_tls(tmp_path: Path) -> None:
    with a_tls_node(tmp_path) as node:
        assert node.cycle()["errors"] == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"authority": "someone else's"}, "is not accepted"),
        ({"address": "fd65::2"}, "is not accepted"),
        ({"from_days": 3000}, "clock says"),
        ({"from_days": -3000}, "clock says"),
    ],
)
def test_another_certificate_is_refused(how: dict[str, Any], words: str, tmp_path: Path) -> None:
    with a_tls_node(tmp_path, **how) as node:
        said = node.cycle()
        assert words in node.errors()
        assert (said["state"], node.authorized()) == ("safe", "")


def test_nothing_is_verified_where_the_firmware_says_so(tmp_path: Path) -> None:
    with a_tls_node(tmp_path, "someone else's") as node:
        section = replace(node.config.registry, cert="")
        node.write_firmware(replace(node.config, registry=section))
        assert node.cycle()["errors"] == []


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_trust_anchor_that_is_damaged_is_told(text: str | None, tmp_path: Path) -> None:
    with a_tls_node(tmp_path) as node:
        anchor = node.places.firmware / "registry.crt.pem"
        anchor.unlink() if text is None else anchor.write_text(text)
        assert node.cycle()["state"] == "safe"
        assert "firmware anew" in node.errors()


def test_no_tls_where_it_should_be(registry: ARegistry, tmp_path: Path) -> None:
    node = ANode(tmp_path, a_config(registry.base.replace("http:", "https:")))
    node.cycle()
    assert "no TLS" in node.errors()
