"""Nodes: set states, what moves them, direct interfaces, resources, ids."""

from __future__ import annotations

import itertools

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tests.controller.factories import (
    a_group,
    a_node,
    a_safe_node,
    a_server,
    a_slice,
    a_sliver,
    a_tinc_host,
)
from vct.controller.nodes import rules, verbs
from vct.controller.nodes.models import Node, Server, ServerApi
from vct.controller.problems import ConflictError, InUseError
from vct.controller.slices.interfaces import USUAL, Interface
from vct.wire.limits import InterfaceType
from vct.wire.states import NodeSetState

pytestmark = pytest.mark.django_db
DEBUG, SAFE, PRODUCTION, FAILURE = NodeSetState


def test_it_works() -> None:
    node = a_node()
    assert node.set_state == DEBUG
    assert node.boot_sn == 0
    assert {one.name for one in node.resources.all()} == {"disk", "memory", "pub_ipv4", "pub_ipv6"}


def test_a_new_node_is_in_debug_whatever_is_asked_for() -> None:
    assert a_node(set_state=PRODUCTION).set_state == DEBUG


def test_a_key_and_an_api_move_a_node_to_safe() -> None:
    node = a_node()
    node.change(api_base_uri="http://[fd65::2]/confine/api")
    assert node.set_state == DEBUG
    a_tinc_host(node)
    node.refresh_from_db()
    assert node.set_state == SAFE
    assert node.api_base_uri.endswith("/api/")


@pytest.mark.parametrize("uri", ["http://[fd65::2]:65536/", "http://[fd65::2", "fd65::2"])
def test_an_api_is_where_one_can_be(uri: str) -> None:
    for change in (
        lambda: a_node().change(api_base_uri=uri),
        lambda: ServerApi.objects.create(server=a_server(), type="registry", base_uri=uri),
    ):
        with pytest.raises(ValidationError) as refused:
            change()
        assert len(refused.value.messages) == 1


def test_an_api_over_https_needs_a_certificate() -> None:
    assert not rules.api_configured("https://[fd65::2]/", "")
    assert a_safe_node(api_base_uri="https://[fd65::2]/").set_state == DEBUG


@pytest.mark.parametrize("state", [SAFE, PRODUCTION, FAILURE])
def test_a_node_that_loses_its_key_falls_back_to_debug(state: NodeSetState) -> None:
    node = a_node(api_base_uri="http://[fd65::2]/")
    tinc = a_tinc_host(node)
    node.refresh_from_db()
    if state is not SAFE:
        node.change(set_state=state)
    tinc.delete()
    node.refresh_from_db()
    assert node.set_state == DEBUG


@pytest.mark.parametrize(("old", "new"), [*itertools.product(NodeSetState, repeat=2)])
def test_people_move_a_node_as_the_table_says(old: NodeSetState, new: NodeSetState) -> None:
    allowed = {
        (SAFE, PRODUCTION),
        (PRODUCTION, SAFE),
        (SAFE, FAILURE),
        (PRODUCTION, FAILURE),
        (FAILURE, SAFE),
    }
    assert rules.may_move(old, new) == (old is new or (old, new) in allowed)
    assert rules.why_not(old, new)


def test_a_forbidden_move_is_refused_and_nothing_changes() -> None:
    node = a_safe_node()
    with pytest.raises(ValidationError) as refused:
        node.change(set_state=DEBUG)
    assert "__all__" in refused.value.message_dict
    assert Node.objects.get().set_state == SAFE


def test_a_group_that_loses_its_permission_has_no_node_in_production() -> None:
    group = a_group()
    node = a_safe_node(group).change(set_state=PRODUCTION)
    group.change(allow_nodes=False)
    node.refresh_from_db()
    assert node.set_state == SAFE
    with pytest.raises(ValidationError):
        node.change(set_state=PRODUCTION)


def test_the_group_of_a_node_is_fixed() -> None:
    with pytest.raises(ValidationError) as refused:
        a_node().change(group=a_group())
    assert list(refused.value.message_dict) == ["group"]


def test_two_reboots_at_a_time_count_twice() -> None:
    node = a_node()
    same = Node.objects.get(pk=node.pk)
    verbs.reboot(node)
    verbs.reboot(same)
    assert same.boot_sn == 2


def test_of_two_changes_at_a_time_one_wins() -> None:
    node = a_node()
    same = Node.objects.get(pk=node.pk)
    node.change(description="first")
    with pytest.raises(ConflictError):
        same.change(description="second")
    assert Node.objects.get().description == "first"


def test_a_failed_save_can_be_repeated() -> None:
    node = a_node()
    with pytest.raises(ValidationError):
        node.change(arch="mips")
    assert node.change(arch="i686").arch == "i686"


def test_the_id_can_be_chosen_and_the_next_is_above_it() -> None:
    group = a_group()
    assert a_node(group, pk=0x0A12).hex_id == "0a12"
    assert a_node(group).pk == 0x0A13
    with pytest.raises(ValidationError):
        a_node(group, pk=0x0A12)


@pytest.mark.parametrize("number", [0, 0xFFF1])
def test_ids_have_sixteen_bits(number: int) -> None:
    group = a_group()
    with pytest.raises((ValidationError, IntegrityError)), transaction.atomic():
        a_node(group, pk=number)


def test_direct_interfaces_keep_what_is_on_them() -> None:
    node = a_node(direct=("eth1", "eth2"))
    slice_ = a_slice(node.group, allow_isolated=True)
    isolated = Interface(nr=5, type=InterfaceType.ISOLATED, name="iso0", parent="eth1")
    a_sliver(slice_, node, interfaces=(*USUAL, isolated))
    verbs.set_direct_interfaces(node, ["eth1", "eth3"])
    assert [one.name for one in node.direct_ifaces.all()] == ["eth1", "eth3"]
    with pytest.raises(ValidationError, match="eth1"):
        verbs.set_direct_interfaces(node, ["eth3"])
    assert node.direct_ifaces.count() == 2


def test_a_node_is_deleted_with_its_slivers() -> None:
    node = a_node(direct=("eth1",))
    slice_ = a_slice(node.group, allow_isolated=True)
    isolated = Interface(nr=5, type=InterfaceType.ISOLATED, name="iso0", parent="eth1")
    a_sliver(slice_, node, interfaces=(*USUAL, isolated))
    node.delete()
    assert slice_.slivers.count() == 0


@pytest.mark.parametrize(
    ("method", "text"),
    [("dhcp", "#8"), ("dhcp", ""), ("range", "10.241.0.10#8"), ("none", "")],
)
def test_public_addresses_are_written_so(method: str, text: str) -> None:
    node = a_node(sliver_pub_ipv4=method, sliver_pub_ipv4_range=text)
    assert node.sliver_pub_ipv4_range == text


@pytest.mark.parametrize(
    ("method", "text"),
    [("none", "#8"), ("range", "#8"), ("range", "10.241.0.999#8"), ("dhcp", "8")],
)
def test_public_addresses_are_not_written_so(method: str, text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_node(sliver_pub_ipv4=method, sliver_pub_ipv4_range=text)
    assert list(refused.value.message_dict) == ["sliver_pub_ipv4_range"]


@pytest.mark.parametrize(
    "properties", [{"x": "too short"}, {"Upper": "1"}, {"ends_": "1"}, {"number": 1}, ["list"]]
)
def test_properties_have_names_and_strings(properties: object) -> None:
    with pytest.raises(ValidationError) as refused:
        a_node(properties=properties)
    assert list(refused.value.message_dict) == ["properties"]


@pytest.mark.parametrize("name", ["", "  ", "tab\there", "\u202eright to left", "zero\u200bwidth"])
def test_names_can_be_seen(name: str) -> None:
    with pytest.raises(ValidationError):
        a_node(name=name)


@pytest.mark.parametrize("name", ["<b>; rm -rf / #'\"`$(x)", "Größe", "узел", "節點"])
def test_names_are_kept_as_they_are(name: str) -> None:
    assert Node.objects.get(pk=a_node(name=f" {name} ").pk).name == name


def test_what_a_sliver_gets_is_within_what_it_may_ask() -> None:
    node = a_node()
    verbs.set_resource(node, "memory", max_req=64, dflt_req=32)
    with pytest.raises(ValidationError):
        verbs.set_resource(node, "memory", max_req=16, dflt_req=32)
    with pytest.raises(ValidationError, match="memory"):
        verbs.set_resource(node, "gold", max_req=1, dflt_req=0)


def test_the_main_server_is_number_2_and_the_last_one_stays() -> None:
    first, second = a_server(), a_server()
    assert (first.pk, second.pk) == (2, 3)
    second.delete()
    with pytest.raises(InUseError):
        first.delete()
    assert Server.objects.count() == 1
