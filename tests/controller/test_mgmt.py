"""The management network: the address plan, tinc hosts, keys, hosts and gateways."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from cryptography.hazmat.primitives.serialization import PublicFormat
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.controller.factories import a_host, a_node, a_pubkey, a_server, a_tinc_host, a_user
from vct import names
from vct.controller.mgmt.addresses import Owner, Plan
from vct.controller.mgmt.models import Gateway, TincHost, mgmt_address, mgmt_network
from vct.wire.limits import NODE_LAST, SLICE_LAST, InterfaceType

PLAN = Plan(
    mgmt=names.MANAGEMENT_IPV6_PREFIX,
    debug=names.DEBUG_IPV6_PREFIX,
    private=names.PRIVATE_IPV6_PREFIX,
)


@pytest.mark.django_db
def test_it_works() -> None:
    node, server, host = a_node(pk=0x0A12), a_server(), a_host(a_user(), pk=3)
    gateway = Gateway.objects.create(pk=4)
    assert str(mgmt_address(node)) == "fd65:fc41:c50f:a12::2"
    assert str(mgmt_network(node)) == "fd65:fc41:c50f:a12::/64"
    assert str(mgmt_address(server)) == "fd65:fc41:c50f::2"
    assert str(mgmt_network(server)) == "fd65:fc41:c50f::2/128"
    assert str(mgmt_address(host)) == "fd65:fc41:c50f:0:2000::3"
    assert str(mgmt_address(gateway)) == "fd65:fc41:c50f:0:1::4"


def test_nodes_are_where_the_rest_of_vct_has_them() -> None:
    assert PLAN.mgmt_address(Owner.NODE, 0x0A12) == names.management_ipv6("0a12")
    assert PLAN.mgmt_network(Owner.NODE, 0x0A12) == names.management_network("0a12")


@given(
    st.sampled_from([Owner.SERVER, Owner.HOST, Owner.GATEWAY, Owner.NODE]),
    st.integers(1, NODE_LAST),
)
def test_an_address_leads_back_to_its_owner(owner: Owner, number: int) -> None:
    assert PLAN.whose(PLAN.mgmt_address(owner, number)) == (owner, number, 0)


@given(st.integers(1, SLICE_LAST), st.integers(1, NODE_LAST), st.integers(0, 255))
def test_a_slivers_address_leads_back_to_it(slice_id: int, node: int, number: int) -> None:
    address = PLAN.interface_address(InterfaceType.MANAGEMENT, number, node=node, slice_id=slice_id)
    assert address is not None
    assert PLAN.whose(address) == (Owner.SLIVER, slice_id, node)


@pytest.mark.parametrize(
    "address",
    ["2001:db8::2", "fd65:fc41:c50f::", "fd65:fc41:c50f:fff1::2", "fd65:fc41:c50f:2::3", "::1"],
)
def test_other_addresses_are_nobodys(address: str) -> None:
    assert PLAN.whose(IPv6Address(address)) is None


@pytest.mark.django_db
def test_tinc_names_are_the_originals() -> None:
    main, other, node = a_server(), a_server(), a_node(pk=2578)
    hosts = [a_tinc_host(main), a_tinc_host(other, key=1), a_tinc_host(node, key=2)]
    assert [host.name for host in hosts] == ["server", "server_3", "node_2578"]
    assert [host.owner for host in hosts] == [main, other, node]


@pytest.mark.django_db
def test_a_key_is_used_once_in_whatever_encoding() -> None:
    a_tinc_host(a_node())
    with pytest.raises(ValidationError) as refused:
        TincHost.objects.create(node=a_node(), pubkey=a_pubkey(form=PublicFormat.PKCS1))
    assert list(refused.value.message_dict) == ["pubkey"]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN PUBLIC KEY-----"])
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TincHost.objects.create(node=a_node(), pubkey=text)
    assert "pubkey" in refused.value.message_dict


@pytest.mark.django_db
def test_a_tinc_host_is_of_exactly_one() -> None:
    with pytest.raises(ValidationError, match="one server"):
        TincHost.objects.create(pubkey=a_pubkey())
    both = TincHost(node=a_node(), server=a_server(), pubkey=a_pubkey(), fingerprint="0" * 64)
    with pytest.raises(IntegrityError), transaction.atomic():
        TincHost.objects.bulk_create([both])


@pytest.mark.django_db
def test_a_tinc_host_is_reached_at_addresses() -> None:
    tinc = a_tinc_host(a_server(), address="10.241.0.254")
    assert [str(one) for one in tinc.addresses.all()] == ["10.241.0.254 655"]
    for bad in ({"addr": "a b"}, {"addr": "x", "port": 0}, {"addr": "x\nSubnet = ::/0"}):
        with pytest.raises(ValidationError):
            tinc.addresses.create(**bad)
