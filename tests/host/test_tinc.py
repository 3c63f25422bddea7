"""Files of `vct tinc hosts` let a tincd from outside join a mesh of real daemons."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from tests.host.mesh import Machine, daemon, machines, new_key, place, wait_for_words
from tests.unit.test_tinc_hosts import Controller, serving
from vct.controller.mgmt.mesh import (
    Member,
    gateway_of,
    host_file,
    peers_of,
    server_connects_to,
)
from vct.drivers.rest import Rest
from vct.verbs import tinc_hosts
from vct.wire import tinc

PREFIX = IPv6Address("fd65:fc41:c50f::")
SERVER, NODE, OUTSIDE = PREFIX + 2, PREFIX + (1 << 64) + 2, PREFIX + (0x2000 << 48) + 7


def known(name: str, number: int, key: str, address: IPv6Address, where: str = "") -> Any:
    """As the API has it."""
    places = [{"addr": where, "port": 655}] if where else []
    told = {"name": name, "pubkey": key, "addresses": places}
    return {"id": number, "mgmt_net": {"addr": str(address)}, "tinc": told}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A server and a node that run, and somebody outside who is known to the controller."""

    outside: Machine
    files: Path  # of the one outside
    server: Any
    node: Machine


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    homes = [tmp_path / name for name in ("server", "node", "outside")]
    keys = [new_key(home) for home in homes]
    controller = Controller()
    controller.paths |= {
        "servers/": [known("server", 2, keys[0], SERVER, place(2, 1))],
        "nodes/": [known("node_1", 1, keys[1], NODE, place(1, 2))],
        "hosts/": [known("host_7", 7, keys[2], OUTSIDE)],
    }
    with ExitStack() as undo:
        undo.enter_context(serving(controller))
        api = Rest(base=controller.base)
        for home in homes:
            tinc_hosts.keep(api, home / "hosts", tinc_hosts.fetch(api))
        server, node, outside = undo.enter_context(machines(3))
        undo.enter_context(daemon(node, homes[1], NODE, name="node_1"))
        running = undo.enter_context(
            daemon(server, homes[0], SERVER, name="server", connect_to=["node_1"], strict=True)
        )
        yield Mesh(outside=outside, files=homes[2], server=running, node=node)


def test_it_works(mesh: Mesh) -> None:
    assert not mesh.outside.reaches(SERVER)
    with daemon(mesh.outside, mesh.files, OUTSIDE, name="host_7", connect_to=["server"]):
        assert mesh.outside.reaches_in_time(SERVER), (mesh.files / "log").read_text()
        assert mesh.outside.reaches_in_time(NODE)
        assert mesh.node.reaches_in_time(OUTSIDE)


def test_who_is_not_in_the_server_s_files_stays_outside(mesh: Mesh, tmp_path: Path) -> None:
    assert mesh.node.reaches_in_time(SERVER)
    (tmp_path / "server" / "hosts" / "host_7").unlink()
    mesh.server.send_signal(signal.SIGHUP)
    with daemon(mesh.outside, mesh.files, OUTSIDE, name="host_7", connect_to=["server"]):
        wait_for_words(tmp_path / "server" / "log", "unknown identity")
        assert not mesh.outside.reaches(SERVER)
        assert mesh.node.reaches(SERVER)


def test_a_node_behind_a_gateway_is_reached_by_way_of_it(tmp_path: Path) -> None:
    """It has no link to the server; the controller's rules say who connects to whom."""
    homes = {name: tmp_path / name for name in ("node_3", "server", "node_1")}
    keys = {name: new_key(home) for name, home in homes.items()}
    networks = {"node_3": 3 << 64, "server": 2, "node_1": 1 << 64}
    members = {
        name: Member(
            name=name,
            pubkey=keys[name],
            subnet=IPv6Network((PREFIX + low, 128 if name == "server" else 64)),
            addresses=tuple(
                (tinc.Address(addr=place(link, 1)), None) for link in (1, 2) if name == "node_3"
            ),
            connect_to="node_3" if name == "node_1" else "",
        )
        for name, low in networks.items()
    }
    for name, home in homes.items():
        peers = members if name == "server" else peers_of(members[name], members)
        for peer in {name, *peers}:
            (home / "hosts" / peer).write_text(host_file(members[peer]))
    with ExitStack() as undo:
        world = dict(zip(homes, undo.enter_context(machines(3)), strict=True))
        for name, home in homes.items():
            server = name == "server"
            gateway = gateway_of(members[name], members)
            told = server_connects_to(members) if server else [gateway] if gateway else []
            address = SERVER if server else PREFIX + networks[name] + 2
            undo.enter_context(
                daemon(world[name], home, address, name=name, connect_to=told, strict=server)
            )
        assert world["server"].reaches_in_time(NODE), (homes["node_1"] / "log").read_text()
        assert world["node_1"].reaches_in_time(SERVER)
