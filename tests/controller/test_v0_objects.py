"""Nodes and slices as v0 shows and takes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controller.caller import Caller
from tests.controller.factories import Cast, a_node, a_safe_node, a_slice, a_sliver, a_template
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Slice
from vct.wire.limits import VLAN_TAG_FIRST

pytestmark = pytest.mark.django_db
FIRMWARE = {
    "local_iface": "eth0",
    "sliver_pub_ipv4": "dhcp",
    "sliver_pub_ipv4_range": "#8",
    "sliver_pub_ipv6": "none",
    "sliver_mac_prefix": "0x54c0",
    "priv_ipv4_prefix": "192.168.241.0/24",
}


@pytest.fixture
def cast() -> Cast:
    return Cast()


def ref(kind: str, number: int) -> dict[str, str]:
    return {"uri": f"/api/v0/{kind}/{number}/"}


def a_slice_of_v0(cast: Cast, **members: object) -> Any:
    template, group = ref("templates", a_template().pk), ref("groups", cast.group.pk)
    sent = {"name": "first try", "group": group, "template": template, **members}
    return Caller(cast.rita).post("/api/v0/slices/", sent)


def test_it_works(cast: Cast) -> None:
    sent = {"name": "n", "arch": "i686", "group": ref("groups", cast.group.pk)}
    answer = Caller(cast.tom).post("/api/v0/nodes/", sent)
    assert answer.status_code == 201
    assert answer.json().items() >= FIRMWARE.items()
    assert answer.json()["mgmt_net"]["backend"] == "tinc"
    assert "Link" not in answer.headers


def test_a_new_node_is_shown_whole(cast: Cast) -> None:
    sent = {"name": "n", "arch": "i686", "group": ref("groups", cast.group.pk)}
    caller = Caller(cast.tom)
    made = caller.post("/api/v0/nodes/", sent)
    assert made.json() == caller.get(made.headers["Location"]).json()
    assert len(made.json()) > 15


def test_nodes_and_servers_have_no_member_that_breaks_the_client_library(cast: Cast) -> None:
    a_node(cast.group)
    assert "api" not in Caller().get("/api/v0/nodes/").json()[0]


def test_a_nodes_api_outlives_changes_by_v0(cast: Cast) -> None:
    node = a_safe_node(cast.group)
    caller = Caller(cast.tom)
    shown = caller.get(f"/api/v0/nodes/{node.pk}/").json()
    caller.put(f"/api/v0/nodes/{node.pk}/", {**shown, "description": "new"})
    node = Node.objects.get(pk=node.pk)
    assert (node.description, node.set_state) == ("new", "safe")
    assert node.api_base_uri


def test_what_firmware_needs_can_be_written(cast: Cast) -> None:
    uri = f"/api/v0/nodes/{a_node(cast.group).pk}/"
    sent = {
        "local_iface": "eth1",
        "sliver_pub_ipv4": "range",
        "sliver_pub_ipv4_range": "192.0.2.10#4",
        "sliver_pub_ipv6": "auto",
        "sliver_mac_prefix": None,
        "priv_ipv4_prefix": None,
    }
    assert Caller(cast.tom).patch(uri, sent).json().items() >= sent.items()


def test_a_node_without_public_addresses_has_no_range(cast: Cast) -> None:
    uri = f"/api/v0/nodes/{a_node(cast.group).pk}/"
    answer = Caller(cast.tom).patch(uri, {"sliver_pub_ipv4": "none"})
    assert list(answer.json()) == ["sliver_pub_ipv4_range"]
    sent = {"sliver_pub_ipv4": "none", "sliver_pub_ipv4_range": None}
    assert Caller(cast.tom).patch(uri, sent).status_code == 200


def test_a_slice_says_what_its_slivers_start_with(cast: Cast) -> None:
    made = a_slice_of_v0(cast)
    assert made.status_code == 201, made.content
    shown = made.json()
    assert "sliver_defaults" not in shown
    assert shown["template"]["uri"].startswith("http://testserver/api/v0/templates/")
    assert (shown["set_state"], shown["vlan_nr"]) == ("register", None)
    assert (shown["exp_data_uri"], shown["overlay_uri"]) == (None, None)
    assert (shown["instance_sn"], shown["new_sliver_instance_sn"]) == (0, 0)


def test_the_state_of_a_slice_is_also_put(cast: Cast) -> None:
    uri = f"/api/v0/slices/{a_slice(cast.group).pk}/"
    caller = Caller(cast.rita)
    answer = caller.put(uri, {**caller.get(uri).json(), "set_state": "deploy"})
    assert (answer.status_code, answer.json()["set_state"]) == (200, "deploy")


def test_minus_one_asks_for_a_vlan(cast: Cast) -> None:
    made = a_slice_of_v0(cast, vlan_nr=-1).json()
    caller = Caller(cast.rita)
    assert made["vlan_nr"] == -1
    shown = caller.patch(made["uri"], {"set_state": "deploy"}).json()
    assert shown["vlan_nr"] == VLAN_TAG_FIRST
    assert caller.put(made["uri"], shown).json()["vlan_nr"] == VLAN_TAG_FIRST
    assert list(caller.patch(made["uri"], {"vlan_nr": None}).json()) == ["vlan_nr"]
    back = caller.patch(made["uri"], {"set_state": "register"}).json()
    assert back["vlan_nr"] == -1
    assert caller.patch(made["uri"], {"vlan_nr": None}).json()["vlan_nr"] is None


def test_what_only_v1_says_outlives_changes_by_v0(cast: Cast) -> None:
    stored = a_slice(cast.group, sliver_set_state="deploy")
    stored.resources.create(name="memory", req=64)
    uri = f"/api/v0/slices/{stored.pk}/"
    caller = Caller(cast.rita)
    assert caller.put(uri, caller.get(uri).json()).status_code == 200
    stored = Slice.objects.get(pk=stored.pk)
    assert stored.sliver_set_state == "deploy"
    assert [(one.name, one.req) for one in stored.resources.all()] == [("memory", 64)]


def test_numbers_of_interfaces_may_be_strings(cast: Cast) -> None:
    slice_, node = a_slice(cast.group), a_node(cast.group)
    sent = {
        "slice": ref("slices", slice_.pk),
        "node": ref("nodes", node.pk),
        "interfaces": [{"nr": "0", "name": "priv", "type": "private"}],
    }
    made = Caller(cast.rita).post("/api/v0/slivers/", sent)
    assert made.status_code == 201, made.content
    assert made.json()["id"] == f"{slice_.pk}@{node.pk}"
    assert made.json()["interfaces"][0]["nr"] == 0


@pytest.mark.parametrize("kind", ["nodes", "slices", "slivers"])
def test_long_lists_need_no_more_queries(
    cast: Cast, kind: str, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        a_sliver(a_slice(cast.group), a_node(cast.group))
    with django_assert_max_num_queries(8):
        assert len(Caller().get(f"/api/v0/{kind}/").json()) == 5
