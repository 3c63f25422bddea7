"""The ring of `make demo`, up and running: status is right, and traffic goes where it must.

All tests of this module share one testbed; none leaves it changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Bed
from tests.system.outside import Outside, outside
from vct.drivers.shaping_support import has_netem
from vct.model.load import load_testbed
from vct.names import uplink_interface
from vct.quality import choose_engine

RING = Path(__file__).resolve().parents[2] / "examples" / "ring.yaml"
NODES = ["0001", "0002", "0003", "0004"]

NODE_FIELDS = [
    "id",
    "state",
    "reason",
    "hostname",
    "image",
    "arch",
    "memory_mib",
    "disk_mib",
    "address",
    "rescue",
    "link_address",
    "mac",
    "namespace",
    "interfaces",
    "confine",
]
LINK_FIELDS = [
    "name",
    "a",
    "a_interface",
    "b",
    "b_interface",
    "ok",
    "engine",
    "forward",
    "backward",
]


@pytest.fixture(scope="module")
def ring(shared_bed: Bed) -> Bed:
    shared_bed.vct("build", "controller", timeout_s=1200)
    shared_bed.vct("build", "node-debian", "--arch", "i386", timeout_s=1200)
    shared_bed.vct("init", str(RING))
    return shared_bed


@pytest.fixture(scope="module")
def status(ring: Bed) -> Any:
    return ring.json("status")


def ping(ring: Bed, node: str, address: str, *options: str) -> bool:
    # Some links lose packets on purpose: one answer of three is an answer.
    words = ["ping", "-n", "-c3", "-i0.2", "-W5", *options, address]
    return bool(ring.vct("node", "exec", node, "--", *words, check=False).code == 0)


def sent(ring: Bed, node: str, interface: str) -> int:
    """Packets that a node has sent by an interface."""
    file = f"/sys/class/net/{interface}/statistics/tx_packets"
    return int(ring.vct("node", "exec", node, "--", "cat", file).stdout)


def still(nodes: Any) -> Any:
    """Nodes without what differs from one look to the next: the round trip."""
    return [{**node, "confine": {**node["confine"], "rtt_ms": None}} for node in nodes]


def test_it_works(status: Any) -> None:
    assert status["ready"]
    assert [(node["id"], node["state"]) for node in status["nodes"]] == [
        (node, "ready") for node in NODES
    ]
    assert len(status["links"]) == 4


def test_the_fields_of_status_keep_their_names(status: Any) -> None:
    parts = ["name", "ready", "nodes", "links", "segments", "differences", "controller"]
    assert list(status) == parts
    assert [list(node) for node in status["nodes"]] == [NODE_FIELDS] * 4
    assert [list(link) for link in status["links"]] == [LINK_FIELDS] * 4
    assert all(list(link["forward"]) == ["wanted", "applied"] for link in status["links"])


def test_every_link_has_applied_what_was_asked_for_and_says_by_which_engine(status: Any) -> None:
    asked = {link.name: link for link in load_testbed(RING).links}
    for link in status["links"]:
        want = asked[link["name"]]
        assert link["ok"]
        assert link["forward"] == {"wanted": str(want.forward), "applied": str(want.forward)}
        assert link["backward"] == {"wanted": str(want.backward), "applied": str(want.backward)}
        engine = choose_engine(want.forward, want.backward, netem=has_netem())
        assert link["engine"] == str(engine)


def test_node_list_info_and_link_list_say_the_same_as_status(ring: Bed, status: Any) -> None:
    assert still(ring.json("node", "list")) == still(status["nodes"])
    assert still(ring.json("node", "info", "0002-0003")) == still(status["nodes"][1:3])
    assert ring.json("link", "list") == status["links"]


def test_a_second_init_has_nothing_to_do(ring: Bed) -> None:
    again = ring.vct("init", str(RING))
    assert "nothing to do, 4 nodes ready" in again.stdout
    assert ring.json("init", str(RING))["changed"] is False


def test_a_dry_run_of_what_is_up_already_says_so_and_changes_nothing(ring: Bed) -> None:
    plan = ring.json("--dry-run", "init", str(RING))
    assert plan == {"testbed": ring.name, "steps": []}
    assert ring.vct("--dry-run", "init", str(RING)).stdout.strip() == "nothing to do"


def test_a_dry_run_of_a_cleanup_names_all_and_changes_nothing(ring: Bed, status: Any) -> None:
    plan = ring.json("--dry-run", "cleanup", "--flush")
    assert all(step["reason"] for step in plan["steps"])
    nodes = [step["key"] for step in plan["steps"] if step["kind"] == "node"]
    assert sorted(nodes) == NODES
    now = ring.json("status")
    assert {**now, "nodes": still(now["nodes"])} == {**status, "nodes": still(status["nodes"])}


@pytest.mark.parametrize(
    ("node", "interface", "neighbour"),
    [("0001", "eth1", "0002"), ("0001", "eth2", "0004"), ("0003", "eth2", "0004")],
)
def test_a_node_reaches_its_neighbours_over_their_link(
    ring: Bed, node: str, interface: str, neighbour: str
) -> None:
    address = f"10.242.0.{int(neighbour, 16)}"
    route = ring.sh(node, f"ip route get {address}").stdout
    assert f" dev {interface} " in route
    before = sent(ring, node, interface)
    assert ping(ring, node, f"rd{neighbour}.link")
    assert sent(ring, node, interface) > before + 2


def test_a_node_does_not_reach_others_by_their_link_address(ring: Bed) -> None:
    assert not ping(ring, "0001", "10.242.0.3")


def test_a_link_that_is_down_is_not_replaced_by_another_way(ring: Bed) -> None:
    ring.sh("0003", "ip link set eth2 down")
    try:
        assert not ping(ring, "0004", "10.242.0.3")
        broken = ring.json("status")
        assert [link["name"] for link in broken["links"] if not link["ok"]] == ["0003-0004"]
    finally:
        assert ring.json("init", str(RING))["changed"]
    assert ping(ring, "0004", "10.242.0.3")


def test_nodes_reach_each_other_on_the_local_network_by_name(ring: Bed) -> None:
    assert ping(ring, "0001", "rd0003")
    assert ping(ring, "0001", "fdbd:e804:6aa9:2:5054:ff:fe00:3")


def test_names_are_those_of_the_local_network_and_of_the_links(ring: Bed) -> None:
    found = ring.sh("0001", "getent hosts rd0002 rd0002.link rd0002.vct rd0001").stdout
    assert re.findall(r"^\S+", found, re.MULTILINE) == [
        "10.241.0.2",
        "10.242.0.2",
        "10.241.0.2",
        "127.0.1.1",
    ]


def test_the_fixed_lease_of_a_node_is_its_address(ring: Bed) -> None:
    # No pid, no lease file, no script: the address that eth0 has already stays as it is.
    said = ring.sh(
        "0002",
        "timeout 20 dhclient -1 -v -sf /bin/true -pf /run/dh.pid -lf /run/dh.leases eth0 2>&1;"
        "dhclient -x -sf /bin/true -pf /run/dh.pid -lf /run/dh.leases eth0 2>/dev/null; :",
    ).stdout
    assert "DHCPACK of 10.241.0.2 from 10.241.0.254" in said


def test_demo_pings_every_link_and_says_what_to_try_next(ring: Bed) -> None:
    assert all(result["rtt_ms"] is not None for result in ring.json("demo")["pings"])
    assert "vct node ssh 0001" in ring.vct("demo").stdout


# --- the world outside ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(ring: Bed) -> Iterator[Outside]:
    with outside() as world:
        yield world


def test_a_node_reaches_the_outside_with_the_hosts_address(ring: Bed, world: Outside) -> None:
    said = ring.sh("0001", f"echo hello | nc -u -W1 -w10 {world.address} {world.port}").stdout
    assert said.strip() == f"hello from {world.host_address}"


def test_the_outside_has_no_way_to_a_node(ring: Bed, world: Outside) -> None:
    assert world.way_of_answer("10.241.0.1") != uplink_interface(ring.name)


def test_link_addresses_do_not_leave_the_testbed(ring: Bed) -> None:
    said = ring.sh("0001", "ping -n -c1 -W2 10.242.0.3", check=False)
    assert "From 10.241.0.254" in said.stdout
    assert "Host Unreachable" in said.stdout
