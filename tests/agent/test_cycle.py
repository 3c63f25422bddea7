"""A node does what the registry says, and says what it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.a_node import ARCH, ANode, a_config
from tests.agent.a_registry import KEY, ARegistry


def test_it_works(node: ANode) -> None:
    said = node.cycle()
    assert (said["state"], said["errors"]) == ("production", [])
    assert said["slivers"] == [{"uri": f"{said['api']['base_uri']}slivers/30/", "id": "12@1"}]


def test_documents_are_asked_for_in_the_originals_order(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    wanted = ["nodes/1/", "", "groups/2/", "users/1/", "slivers/30/", "slices/12/", "templates/3/"]
    assert registry.paths() == wanted


def test_a_second_cycle_downloads_nothing(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.asked.clear()
    node.cycle()
    assert {code for _, code in registry.asked} == {304}


def test_nor_does_the_first_one_after_a_restart(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.asked.clear()
    node.restart()
    assert node.cycle()["state"] == "production"
    assert {code for _, code in registry.asked} == {304}


def test_each_document_is_asked_for_once_a_cycle(node: ANode, registry: ARegistry) -> None:
    registry.populate(arch=ARCH, slivers=3)
    node.cycle()
    assert len(registry.paths()) == len(set(registry.paths()))


@pytest.mark.parametrize("state", ["safe", "production", "failure", "debug"])
def test_a_node_goes_where_it_is_told(state: str, node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.documents["nodes/1/"]["set_state"] = state
    assert node.cycle()["state"] == state
    registry.documents["nodes/1/"]["set_state"] = "production"
    assert node.cycle()["state"] == "production"


@pytest.mark.parametrize("state", [None, 7, "sleepy", ["safe"]])
def test_an_unknown_set_state_is_debug_and_told(
    state: object, node: ANode, registry: ARegistry
) -> None:
    registry.documents["nodes/1/"]["set_state"] = state
    assert node.cycle()["state"] == "debug"
    assert "/set_state" in node.errors()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", 2),
        ("arch", "i686" if ARCH == "x86_64" else "x86_64"),
        ("boot_sn", "many"),
        ("direct_ifaces", ["eth7"]),
        ("direct_ifaces", "eth1"),
        ("direct_ifaces", [{}]),
        ("resources", [{"name": "disk", "max_req": 10001, "dflt_req": 1}]),
        ("resources", [{"name": "memory", "max_req": 100, "dflt_req": 200}]),
        ("resources", [{"name": "pub_ipv4", "max_req": 257, "dflt_req": 0}]),
        ("resources", [{"name": "pub_ipv4", "max_req": 1, "dflt_req": 1}]),
        ("resources", [{"name": "pub_ipv6", "max_req": 1, "dflt_req": 0}]),
        ("resources", [{"name": "disk"}]),
        ("resources", ["disk"]),
        ("resources", 5),
    ],
)
def test_wrong_orders_are_debug_and_told(
    member: str, value: object, node: ANode, registry: ARegistry
) -> None:
    registry.documents["nodes/1/"][member] = value
    assert node.cycle()["state"] == "debug"
    assert f"/{member}" in node.errors()


def test_a_node_comes_back_once_its_orders_are_right(node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"]["direct_ifaces"] = ["eth7"]
    node.cycle()
    registry.documents["nodes/1/"]["direct_ifaces"] = ["eth1"]
    said = node.cycle()
    assert (said["state"], said["errors"], said["direct_ifaces"]) == ("production", [], ["eth1"])


def test_a_node_without_group_or_slivers_still_works(node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"] |= {"group": None, "slivers": "none"}
    assert node.cycle()["state"] == "production"
    assert "/group" in node.errors()
    assert "/slivers" in node.errors()


def test_limits_that_a_node_can_give_hold(node: ANode, registry: ARegistry) -> None:
    limit = {"name": "memory", "max_req": 300, "dflt_req": 30}
    registry.documents["nodes/1/"]["resources"] = [limit, {"name": "new kind"}]
    (memory,) = [one for one in node.cycle()["resources"] if one["name"] == "memory"]
    assert memory == {**limit, "unit": "MiB", "avail": 768}


def test_more_public_addresses_than_a_sliver_can_have_are_told(
    node: ANode, registry: ARegistry
) -> None:
    limit = {"name": "pub_ipv4", "max_req": 8, "dflt_req": 0}
    registry.documents["nodes/1/"]["resources"] = [limit]
    said = node.cycle()
    assert said["state"] == "production"
    assert "/resources/pub_ipv4" in node.errors()
    assert [one["max_req"] for one in said["resources"] if one["name"] == "pub_ipv4"] == [1]


# --- another identity ----------------------------------------------------------------------------


def test_orders_for_another_node_are_not_obeyed(node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"] |= {"id": 2, "boot_sn": 5, "direct_ifaces": ["eth1"]}
    node.cycle()
    assert node.kept()["boot_sn"] is None
    assert node.kept()["direct_ifaces"] == []
    assert node.authorized() == ""


def test_another_certificate_in_the_registry_is_told(node: ANode, registry: ARegistry) -> None:
    block = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    (node.places.firmware / "api.crt.pem").write_text(block.format("AAAA"))
    registry.documents["nodes/1/"]["api"] = {"cert": block.format("BBBB")}
    assert node.cycle()["state"] == "debug"
    assert "two nodes have it" in node.errors()


def test_the_same_certificate_is_no_news(node: ANode, registry: ARegistry) -> None:
    block = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"
    (node.places.firmware / "api.crt.pem").write_text(block.format("AAAA"))
    registry.documents["nodes/1/"]["api"] = {"cert": f"{block.format('AAAA')}\n\n"}
    assert node.cycle()["errors"] == []


def test_what_was_kept_of_another_testbed_is_forgotten(node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"]["boot_sn"] = 5
    node.cycle()
    testbed = replace(node.config.testbed, name="line")
    node.write_firmware(replace(node.config, testbed=testbed))
    registry.documents["nodes/1/"]["boot_sn"] = 7
    node.cycle()
    assert (node.reboots, node.kept()["boot_sn"]) == (0, 7)


# --- firmware ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "vct node 9"}', "\0", "\udcff"])
def test_firmware_that_cannot_be_meant_is_told(text: str, node: ANode) -> None:
    (node.places.firmware / "node.json").write_bytes(text.encode(errors="surrogateescape"))
    said = node.cycle()
    assert said["state"] == "debug"
    assert "vct init" in said["errors"][0]["message"]


def test_firmware_that_goes_and_comes_back(node: ANode) -> None:
    node.cycle()
    path = node.places.firmware / "node.json"
    text = path.read_text()
    path.unlink()
    assert node.cycle()["state"] == "debug"
    path.write_text(text)
    assert node.cycle()["state"] == "production"


def test_new_firmware_is_taken_up_without_a_restart(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.populate(node=2, arch=ARCH)
    node.write_firmware(a_config(registry.base, node=2))
    assert node.cycle()["id"] == 2


# --- boots ---------------------------------------------------------------------------------------


def test_a_counter_that_goes_up_reboots_once(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 1
    node.cycle()
    assert node.reboots == 1
    node.boot()
    node.cycle()
    node.cycle()
    assert (node.reboots, node.said("/node/")["boot_sn"]) == (1, 1)


def test_a_node_that_never_heard_the_counter_does_not_reboot(
    node: ANode, registry: ARegistry
) -> None:
    registry.documents["nodes/1/"]["boot_sn"] = 4
    node.cycle()
    assert node.reboots == 0


def test_a_counter_that_goes_down_reboots_nobody(node: ANode, registry: ARegistry) -> None:
    registry.documents["nodes/1/"]["boot_sn"] = 4
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 0
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 1
    node.cycle()
    assert node.reboots == 1


def test_a_reboot_that_did_not_come_is_asked_for_again(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 1
    node.cycle()
    node.restart()
    node.cycle()
    assert node.reboots == 2


# --- administrators ------------------------------------------------------------------------------


def test_node_administrators_may_log_in(node: ANode) -> None:
    node.cycle()
    assert node.authorized() == f"{KEY.rpartition(' ')[0]} CONFINE_USER=1\n"
    assert node.places.authorized_keys.stat().st_mode & 0o777 == 0o600


def test_others_lines_are_let_be(node: ANode, registry: ARegistry) -> None:
    node.places.persist.mkdir(parents=True)
    node.places.authorized_keys.write_text("ssh-rsa AAAA friend\nssh-rsa AAAA CONFINE_USER=9\n")
    registry.documents["users/1/"]["is_active"] = False
    node.cycle()
    assert node.authorized() == "ssh-rsa AAAA friend\n"


def test_keys_stay_when_the_group_cannot_be_had(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.answers("groups/2/", 500)
    assert node.cycle()["state"] == "production"
    assert "CONFINE_USER=1" in node.authorized()


def test_keys_are_left_alone_where_the_firmware_says_so(node: ANode) -> None:
    agent = replace(node.config.agent, sync_node_admins=False)
    node.write_firmware(replace(node.config, agent=agent))
    node.cycle()
    assert not node.places.authorized_keys.exists()


def test_the_log_says_a_lasting_fault_once(node: ANode, registry: ARegistry) -> None:
    registry.all_answer(500)
    for _ in range(5):
        node.cycle()
    log = Path(node.places.log).read_text()
    assert log.count("answers 500") == 1
