"""Interfaces, addresses and routes: requests as rendered, answers as the kernel gave them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.rtnetlink_codec import NetlinkError, Request, attributes, number
from vct.drivers.rtnetlink_messages import (
    IFLA_EXT_MASK,
    IFLA_INFO_DATA,
    IFLA_LINKINFO,
    IFLA_NET_NS_FD,
    LINK,
    SKIP_STATISTICS,
    VETH_INFO_PEER,
    Address,
    Interface,
    Route,
    add_address,
    add_bridge,
    add_veth,
    delete_link,
    get_links,
    move_link,
    parse_address,
    parse_link,
    parse_route,
    set_default_route,
    set_link,
    set_unreachable,
)

# What Linux 6.18 answered, less attributes that nobody reads.
LOOPBACK = (
    "00000403010000004900010000000000070003006c6f000008000d00e803000008000400000001000a000100"
    "0000000000000000"
)
LINK_END = (
    "0000010004000000031000000000000009000300657468310000000008000d00e803000008000400dc050000"
    "160014007663743a72696e673a6c696e6b3a783a610000000a00010052540001000100001000120009000100"
    "7665746800000000"
)
BRIDGED = (
    "0000010003000000021000000000000009000300657468320000000008000d00e803000008000400dc050000"
    "08000a00020000000a000100525400010002000010001200090001007665746800000000"
)
NEIGHBOUR = (
    "0220800004000000080001000af20002080002000af2000109000300657468310000000008000800800000001400"
    "0600ffffffffffffffff53e3130053e31300"
)
RESCUE = (
    "0a4082000200000014000100fdbde8046aa90002000000000000000214000600ffffffffffffffff53e3130053e3"
    "13000800080082000000"
)
DEFAULT = "02000000fe0300011000000008000f00fe000000080005000af100010800040002000000"
UNREACHABLE = "02100000fe0300070000000008000f00fe000000080001000af20000"
LOCAL = "02200000ff02fe020000000008000f00ff000000080001007f000001080007007f0000010800040001000000"


def test_it_works() -> None:
    assert parse_link(bytes.fromhex(LINK_END)) == Interface(
        index=4,
        name="eth1",
        mac="52:54:00:01:00:01",
        alias="vct:ring:link:x:a",
        kind="veth",
        up=True,
        master=0,
        mtu=1500,
    )


def test_interfaces_are_read_as_the_kernel_says_them() -> None:
    loopback, bridged = (parse_link(bytes.fromhex(answer)) for answer in (LOOPBACK, BRIDGED))
    assert (loopback.name, loopback.kind, loopback.mac) == ("lo", "", "00:00:00:00:00:00")
    assert (loopback.mtu, loopback.up) == (65536, True)
    assert (bridged.master, bridged.up, bridged.alias) == (2, False, "")


def test_an_interface_has_the_addresses_of_its_index() -> None:
    index, address = parse_address(bytes.fromhex(NEIGHBOUR))
    found = parse_link(bytes.fromhex(LINK_END), {index: [address], 3: []})
    assert found.addresses == (Address(address="10.242.0.1/32", peer="10.242.0.2"),)


def test_addresses_are_read_as_the_kernel_says_them() -> None:
    wanted = 2, Address(address="fdbd:e804:6aa9:2::2/64", peer="")
    assert parse_address(bytes.fromhex(RESCUE)) == wanted


@pytest.mark.parametrize(
    ("answer", "route"),
    [
        (DEFAULT, ("0.0.0.0/0", "10.241.0.1", 2, 254)),
        (UNREACHABLE, ("10.242.0.0/16", "", 0, 254)),
        (LOCAL, ("127.0.0.1/32", "", 1, 255)),
    ],
)
def test_routes_are_read_as_the_kernel_says_them(
    answer: str, route: tuple[str, str, int, int]
) -> None:
    network, gateway, interface, table = route
    assert parse_route(bytes.fromhex(answer)) == Route(
        network=IPv4Network(network), gateway=gateway, interface=interface, table=table
    )


def test_what_is_set_on_an_interface_would_be_seen_so() -> None:
    asked = set_link("eth1", up=True, alias="vct:ring:link:x:a", mac="52:54:00:01:00:01")
    seen = parse_link(asked.body)
    assert (seen.name, seen.up, seen.alias) == ("eth1", True, "vct:ring:link:x:a")
    assert seen.mac == "52:54:00:01:00:01"


def test_what_is_not_given_of_an_interface_is_not_touched() -> None:
    (_, _, _, flags, change), found = LINK.unpack_from(set_link("lo").body), set_link("lo").body
    assert (flags, change) == (0, 0)
    assert len(attributes(found[LINK.size :])) == 1  # its name


def test_a_pair_has_both_ends_and_a_namespace_for_the_far_one() -> None:
    asked = add_veth("p1", "eth0", 7, mac="52:54:00:01:00:01", peer_mac="52:54:00:01:00:02")
    near = parse_link(asked.body)
    assert (near.name, near.kind, near.mac) == ("p1", "veth", "52:54:00:01:00:01")
    info = attributes(attributes(asked.body[LINK.size :])[IFLA_LINKINFO])
    far = attributes(info[IFLA_INFO_DATA])[VETH_INFO_PEER]
    assert (parse_link(far).name, parse_link(far).mac) == ("eth0", "52:54:00:01:00:02")
    assert number(attributes(far[LINK.size :])[IFLA_NET_NS_FD]) == 7


def test_the_near_end_of_a_pair_is_up_when_it_is_on_a_bridge() -> None:
    alone, bridged = (parse_link(add_veth("a", "b", master=master).body) for master in (0, 3))
    assert (alone.up, alone.master) == (False, 0)
    assert (bridged.up, bridged.master) == (True, 3)


def test_a_bridge_has_its_kind_and_mac() -> None:
    seen = parse_link(add_bridge("vct-local", "52:54:00:00:00:01").body)
    assert (seen.kind, seen.mac) == ("bridge", "52:54:00:00:00:01")


def test_counters_are_not_asked_for() -> None:
    found = attributes(get_links().body[LINK.size :])
    assert number(found[IFLA_EXT_MASK]) == SKIP_STATISTICS


def test_an_interface_is_moved_to_an_open_namespace() -> None:
    found = attributes(move_link("uplink", 9).body[LINK.size :])
    assert number(found[IFLA_NET_NS_FD]) == 9


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (delete_link("eth1"), "remove interface eth1"),
        (
            add_address(2, "10.242.0.1/32", "10.242.0.2"),
            "give address 10.242.0.1/32 for 10.242.0.2",
        ),
        (add_veth("a", "b"), "make veth pair a and b"),
    ],
)
def test_a_request_says_what_it_is_for(request_: Request, words: str) -> None:
    assert request_.what == words


ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
ipv6 = st.integers(0, 2**32 - 1).map(lambda low: IPv6Address(0xFDBD << 112 | low))


@given(st.integers(1, 2**31 - 1), ipv4, st.integers(0, 32))
def test_every_ipv4_address_survives(index: int, address: IPv4Address, prefix: int) -> None:
    wanted = f"{address}/{prefix}"
    assert parse_address(add_address(index, wanted).body) == (
        index,
        Address(address=wanted, peer=""),
    )


@given(ipv6, st.integers(0, 128))
def test_every_ipv6_address_survives(address: IPv6Address, prefix: int) -> None:
    wanted = f"{address}/{prefix}"
    assert parse_address(add_address(1, wanted).body) == (1, Address(address=wanted, peer=""))


@given(ipv4, ipv4)
def test_every_neighbour_survives(own: IPv4Address, other: IPv4Address) -> None:
    _, seen = parse_address(add_address(1, f"{own}/32", str(other)).body)
    assert seen == Address(address=f"{own}/32", peer="" if own == other else str(other))


@given(ipv4, st.integers(0, 32))
def test_every_route_survives(address: IPv4Address, length: int) -> None:
    network = IPv4Network((int(address), length), strict=False)
    assert parse_route(set_unreachable(network).body).network == network
    assert parse_route(set_default_route(str(address)).body).gateway == str(address)


@pytest.mark.parametrize("parse", [parse_link, parse_address, parse_route])
@given(data=st.binary(max_size=120))
def test_any_octets_are_read_or_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    try:
        parse(data)
    except NetlinkError:
        assert len(data) < LINK.size
