"""Nodes of a testbed with a controller, for real: in production by themselves, reachable, obedient.

One testbed serves most of the module; each test leaves its nodes in production.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.admin_pages import AdminPages
from tests.system.conftest import IMAGES, VCT, Bed, new_bed
from vct import names
from vct.drivers import echo, process
from vct.drivers.controller_api import Api

TESTBED = """\
nodes: {"0001": {}, "0002": {}, "0003": {}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
controller: {}
"""
NODES = ["0001", "0002", "0003"]
PATIENCE_S = 60.0
CREDENTIALS = "controller/credentials.json"


@pytest.fixture(scope="module")
def images(node_image: Path) -> None:
    process.run([*VCT, "build", "controller"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)


@pytest.fixture(scope="module")
def first(images: None) -> Iterator[tuple[Bed, Any]]:
    """A testbed with a controller, and what its first init said."""
    with new_bed() as bed:
        yield bed, bed.init(f"name: {bed.name}\n{TESTBED}")


@pytest.fixture
def bed(first: tuple[Bed, Any]) -> Bed:
    return first[0]


def again(bed: Bed, text: str = TESTBED) -> Any:
    return bed.init(f"name: {bed.name}\n{text}")


def api(bed: Bed) -> Api:
    """With the first administrator's token."""
    kept = bed.home / "testbeds" / bed.name / CREDENTIALS
    token = json.loads(kept.read_text())["token"]
    return Api(base=bed.json("controller", "status")["url"], token=token)


def row(bed: Bed, node: str) -> Any:
    """A node's record in the registry."""
    return api(bed).get(f"/api/nodes/{names.node_number(node)}/")


def members(bed: Bed) -> dict[str, Any]:
    """How nodes stand with the controller, by id."""
    return {node["id"]: node["confine"] for node in bed.json("status")["nodes"]}


def is_in(bed: Bed, node: str, state: str) -> bool:
    """Whether a node says that it is in this state."""
    return bool(members(bed)[node]["state"] == state)


def pings(bed: Bed, node: str) -> bool:
    """Whether the controller reaches a node's management address."""
    address = str(names.management_ipv6(node))
    return address in echo.ping(names.controller_namespace(bed.name), [address])


def wait(what: str, done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.2)


def confine(bed: Bed, node: str) -> Path:
    """Where the host keeps a node's firmware."""
    return bed.home / "testbeds" / bed.name / "nodes" / node / "node" / "confine"


def test_it_works(first: tuple[Bed, Any]) -> None:
    bed, said = first
    assert said["states"] == dict.fromkeys(NODES, "production")
    for node in NODES:
        assert f"enrol node {node}: it has no firmware" in said["controller"]["registered"]
        assert pings(bed, node)


def test_a_second_init_has_nothing_to_do_or_to_tell(bed: Bed) -> None:
    said = again(bed)
    assert not said["changed"]
    assert said["controller"]["registered"] == []
    assert said["states"] == dict.fromkeys(NODES, "production")


def test_status_and_info_show_how_nodes_stand(bed: Bed) -> None:
    found = bed.json("status")
    assert found["ready"]
    for node in found["nodes"]:
        member = node["confine"]
        assert member["address"] == str(names.management_ipv6(node["id"]))
        assert member["reachable"]
        assert 0 < member["rtt_ms"] < 1000
        assert (member["state"], member["set_state"]) == ("production", "production")
    words = bed.vct("node", "info", "0001").stdout
    assert "The node works and runs slivers." in words
    assert "fd65:fc41:c50f:1::2 by tinc: reachable" in words


def test_private_keys_are_for_root_only_and_the_registry_has_the_public_ones(bed: Bed) -> None:
    for name in ("api.key.pem", "tinc/rsa_key.priv"):
        assert (confine(bed, "0001") / name).stat().st_mode & 0o777 == 0o600
    known = row(bed, "0001")
    assert "PRIVATE" not in json.dumps(known)
    assert known["tinc"]["pubkey"].strip() == (
        (confine(bed, "0001") / "tinc/rsa_key.pub").read_text().strip()
    )
    assert known["cert"].strip() == (confine(bed, "0001") / "api.crt.pem").read_text().strip()


def test_an_order_of_the_registry_is_carried_out_and_shown(bed: Bed) -> None:
    registry = api(bed)
    registry.send("PATCH", "/api/nodes/2/", {"set_state": "safe"})
    wait("node 0002 to be safe", lambda: members(bed)["0002"]["state"] == "safe")
    assert members(bed)["0002"]["next_step"]
    assert again(bed)["states"]["0002"] == "safe"  # people's order stays
    registry.send("PATCH", "/api/nodes/2/", {"set_state": "production"})
    wait("production again", lambda: members(bed)["0002"]["state"] == "production")
    wait("the controller to hear it", lambda: members(bed)["0002"]["known"] == "production")


def test_an_order_of_the_admin_page_is_carried_out_and_shown(bed: Bed) -> None:
    kept = json.loads((bed.home / "testbeds" / bed.name / CREDENTIALS).read_text())
    url = bed.json("controller", "status")["url"]
    pages = AdminPages(url, kept["username"], kept["password"])
    for order in ("safe", "production"):
        assert "was changed" in pages.submit("admin/nodes/node/1/change/", set_state=order)
        wait(f"node 0001 to be {order}", partial(is_in, bed, "0001", order))


def test_ssh_goes_by_management_and_by_local_when_that_is_gone(bed: Bed) -> None:
    done = bed.vct("node", "ssh", "0001", "--", "hostname")
    assert done.stdout == "rd0001\n"
    assert "node 0001 by management (fd65:fc41:c50f:1::2)" in done.stderr
    bed.sh("0001", "ip link set dev confine down")
    done = bed.vct("node", "ssh", "0001", "--", "hostname")
    assert (done.stdout, "by local (10.241.0.1)" in done.stderr) == ("rd0001\n", True)
    bed.sh("0001", "ip address del 10.241.0.1/16 dev eth0")
    done = bed.vct("node", "ssh", "0001", "--", "hostname")
    assert (done.stdout, "by rescue" in done.stderr) == ("rd0001\n", True)
    bed.sh("0001", "ip address add 10.241.0.1/16 dev eth0; pkill -x tincd", check=False)
    wait("node 0001 to come back", lambda: pings(bed, "0001"))


def test_scp_goes_by_management(bed: Bed, tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("hello\n")
    done = bed.vct("node", "scp", "0001", str(file), "remote:/root/words")
    assert "by management" in done.stderr
    assert bed.sh("0001", "cat /root/words").stdout == "hello\n"


def test_a_node_that_reboots_comes_back_to_production(bed: Bed) -> None:
    bed.vct("node", "restart", "0003")
    wait("node 0003 in production", lambda: members(bed)["0003"]["state"] == "production")
    assert again(bed)["controller"]["registered"] == []


def test_a_restart_does_not_disturb_the_mesh_for_others(bed: Bed) -> None:
    place, address = names.controller_namespace(bed.name), names.management_ipv6
    others = {str(address(node)) for node in ("0001", "0002")}

    def is_back() -> bool:
        answers = echo.ping(place, {*others, str(address("0003"))}, timeout_s=0.3)
        assert answers.keys() >= others
        return str(address("0003")) in answers

    bed.vct("node", "restart", "0003")
    wait("node 0003 to be reached again", is_back)


# --- create, keys --------------------------------------------------------------------------------


def test_create_has_nothing_to_do_for_a_node_that_is_complete(bed: Bed) -> None:
    done = bed.json("node", "create", "0001")
    assert done == {"node": "0001", "changed": False, "told": [], "state": "production"}


def test_create_makes_a_removed_node_complete_again(bed: Bed) -> None:
    bed.vct("--yes", "node", "remove", "0003")
    done = bed.json("node", "create", "0003")
    assert (done["changed"], done["state"]) == (True, "production")
    assert done["told"] == ["enrol node 0003: it has no firmware"]
    wait("node 0003 to answer", lambda: pings(bed, "0003"))
    assert again(bed)["controller"]["registered"] == []


def test_keys_are_renewed_when_that_is_asked_for(bed: Bed) -> None:
    before = (confine(bed, "0002") / "tinc/rsa_key.pub").read_text()
    assert bed.json("node", "create", "0002", "--renew-keys")["state"] == "production"
    after = (confine(bed, "0002") / "tinc/rsa_key.pub").read_text()
    assert after != before
    assert row(bed, "0002")["tinc"]["pubkey"].strip() == after.strip()
    wait("node 0002 to answer", lambda: pings(bed, "0002"))


def test_a_node_restored_from_an_old_copy_is_known_again(bed: Bed) -> None:
    place = confine(bed, "0002")
    old = {path: path.read_text() for path in place.rglob("*") if path.is_file()}
    bed.json("node", "create", "0002", "--renew-keys")
    for path, text in old.items():
        path.write_text(text)
    told = again(bed)["controller"]["registered"]
    assert len(told) == 1
    assert told[0].startswith("enrol node 0002: the controller has another")
    assert again(bed)["controller"]["registered"] == []
    wait("node 0002 to answer", lambda: pings(bed, "0002"))


def test_another_controller_gets_to_know_its_nodes(bed: Bed) -> None:
    bed.vct("--yes", "controller", "reset")
    said = again(bed)
    assert said["states"] == dict.fromkeys(NODES, "production")
    assert all(pings(bed, node) for node in NODES)


# --- the testbed changes -------------------------------------------------------------------------


def test_a_node_that_leaves_the_file_leaves_the_mesh_and_keeps_its_record(bed: Bed) -> None:
    smaller = TESTBED.replace(', "0003": {}', "")
    told = again(bed, smaller)["controller"]["registered"]
    assert "take node 0003 out of the mesh: it left the testbed, its record stays" in told
    assert row(bed, "0003")["tinc"] is None
    assert again(bed)["states"] == dict.fromkeys(NODES, "production")


def test_a_node_behind_a_gateway_is_reached_by_it(bed: Bed) -> None:
    text = TESTBED.replace('"0001": {}', '"0001": {gateway: "0003"}')
    said = again(bed, f'{text}management: {{gateways: ["0003"]}}\n')
    assert said["states"] == dict.fromkeys(NODES, "production")
    conf = (confine(bed, "0001") / "tinc/tinc.conf").read_text()
    assert "ConnectTo = node_3" in conf
    assert members(bed)["0001"]["gateway"] == "0003"
    wait("node 0001 to answer", lambda: pings(bed, "0001"))
    again(bed)
    wait("node 0001 to answer by itself", lambda: pings(bed, "0001"))


def test_without_a_controller_nothing_of_it_is_left_in_nodes(bed: Bed) -> None:
    again(bed, TESTBED.replace("controller: {}\n", ""))
    gone = "! pgrep tincd && ! pgrep -f '[a]gent.py'"
    wait("the agent to end", lambda: bed.sh("0001", gone, check=False).code == 0)
    assert not confine(bed, "0001").exists()
    assert bed.json("status")["nodes"][0]["confine"] is None
    assert again(bed)["states"] == dict.fromkeys(NODES, "production")


def test_native_nodes_need_no_tinc(images: None) -> None:
    with new_bed() as bed:
        text = f"name: {bed.name}\n{TESTBED}management: {{backend: native}}\n"
        said = bed.init(text)
        assert said["states"] == dict.fromkeys(NODES, "production")
        assert all(pings(bed, node) for node in NODES)
        assert bed.sh("0001", "pgrep tincd", check=False).code == 1
        assert not (confine(bed, "0001") / "tinc").exists()
        assert bed.init(text)["controller"]["registered"] == []
