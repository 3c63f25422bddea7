"""`vct tinc hosts` asks the real controller, as somebody who has no account there."""

from __future__ import annotations

from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from tests.controller.factories import a_pubkey
from tests.controller_slow.live import ADMIN, PASSWORD, Live, live, manage
from vct.drivers.rest import Rest
from vct.verbs import tinc_hosts
from vct.wire import tinc


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host files of a controller with its server, a node, a host, a gateway."""
    home = tmp_path_factory.mktemp("controller")
    with live(home) as one:
        manage(one.environment, "prepare")
        fill(one)
        api = Rest(base=f"{one.uri}/api/")
        fetched = tinc_hosts.fetch(api)
        assert fetched.refused == ()
        tinc_hosts.keep(api, home / "hosts", fetched)
    return home / "hosts"


def fill(one: Live) -> None:
    """Keys of both kinds; one node has none."""
    sent = {"username": ADMIN, "password": PASSWORD}
    token = one.ask("POST", "/api-token-auth/", sent).content["token"]

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = one.ask("POST", path, body, Authorization=f"Token {token}")
        assert answer.status == 201, answer.content
        return answer.content

    group = {"uri": post("/api/groups/", {"name": "g", "allow_nodes": True})["uri"]}
    net = {"mgmt_net": {"backend": "tinc"}}
    node = {"arch": "x86_64", "group": group, **net}
    post("/api/nodes/", {"name": "a", "id": 0xA12, "tinc": {"pubkey": a_pubkey(1)}, **node})
    post("/api/nodes/", {"name": "b", **node})
    post("/api/hosts/", {"name": "h", "tinc": {"pubkey": a_pubkey(2)}, **net})
    post("/api/v0/gateways/", {"tinc": {"pubkey": a_pubkey(3)}, **net})


def test_it_works(directory: Path) -> None:
    host = tinc.parse_host((directory / "node_2578").read_text())
    assert host.pubkey == a_pubkey(1)
    assert host.subnets == (IPv6Network("fd65:fc41:c50f:a12::/64"),)


@pytest.mark.parametrize(
    ("name", "subnet"),
    [("host_1", "fd65:fc41:c50f:0:2000::1/128"), ("gateway_1", "fd65:fc41:c50f:0:1::1/128")],
)
def test_everything_with_a_key_has_its_file(directory: Path, name: str, subnet: str) -> None:
    host = tinc.parse_host((directory / name).read_text())
    assert host.subnets == (IPv6Network(subnet),)


def test_who_has_no_key_has_no_file(directory: Path) -> None:
    assert not (directory / "node_2579").exists()
