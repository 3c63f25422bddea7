"""The netlink socket and its messages on the real kernel, in a network namespace without a name.

The namespace lives as long as the socket that was opened in it: nothing is left to clean up.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import pytest

from vct.drivers.netns import CLONE_NEWNET
from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_codec import NetlinkError
from vct.drivers.rtnetlink_messages import (
    RT_TABLE_MAIN,
    Address,
    Interface,
    Route,
    add_address,
    add_bridge,
    add_veth,
    delete_address,
    delete_link,
    get_addresses,
    get_link,
    get_links,
    get_routes,
    parse_address,
    parse_link,
    parse_route,
    set_default_route,
    set_link,
    set_unreachable,
)

MAC = "52:54:00:01:00:01"
PEER_MAC = "52:54:00:01:00:02"


def open_elsewhere() -> tuple[Netlink, int]:
    """A socket in a new namespace, and a file descriptor of that namespace."""

    def work() -> tuple[Netlink, int]:
        assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0
        return Netlink(), os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    with ThreadPoolExecutor(max_workers=1) as pool:  # the thread ends in there
        return pool.submit(work).result()


@pytest.fixture
def netlink() -> Iterator[Netlink]:
    netlink, descriptor = open_elsewhere()
    os.close(descriptor)
    with netlink:
        yield netlink


def seen(netlink: Netlink, name: str) -> Interface:
    (payload,) = netlink.do(get_link(name))
    return parse_link(payload)


def addresses(netlink: Netlink) -> list[Address]:
    return [parse_address(payload)[1] for payload in netlink.dump(get_addresses())]


def routes(netlink: Netlink) -> list[Route]:
    found = map(parse_route, netlink.dump(get_routes()))
    return [route for route in found if route.table == RT_TABLE_MAIN]


def test_it_works(netlink: Netlink) -> None:
    netlink.do(
        add_veth("eth0", "eth1", mac=MAC, peer_mac=PEER_MAC),
        set_link("eth0", up=True, alias="mine"),
    )
    near, far = seen(netlink, "eth0"), seen(netlink, "eth1")
    assert (near.mac, near.up, near.alias, near.kind) == (MAC, True, "mine", "veth")
    assert (far.mac, far.up, far.alias) == (PEER_MAC, False, "")


def test_a_pair_has_an_end_in_another_namespace(netlink: Netlink) -> None:
    other, there = open_elsewhere()
    with other:
        netlink.do(add_veth("near", "far", there))
        os.close(there)
        assert seen(other, "far").kind == "veth"


def test_a_bridge_has_members(netlink: Netlink) -> None:
    netlink.do(add_bridge("br", MAC), set_link("br", up=True))
    bridge = seen(netlink, "br")
    netlink.do(add_veth("port", "eth0", master=bridge.index))
    port = seen(netlink, "port")
    assert (bridge.kind, bridge.mac, bridge.up) == ("bridge", MAC, True)
    assert (port.master, port.up) == (bridge.index, True)


def test_what_is_not_named_in_a_change_stays(netlink: Netlink) -> None:
    netlink.do(add_veth("eth0", "eth1", mac=MAC), set_link("eth0", up=True, alias="mine"))
    netlink.do(set_link("eth0", mac=PEER_MAC))
    link = seen(netlink, "eth0")
    assert (link.up, link.alias, link.mac) == (True, "mine", PEER_MAC)


def test_what_is_gone_is_removed_without_error(netlink: Netlink) -> None:
    netlink.do(add_veth("eth0", "eth1"))
    netlink.do(delete_link("eth0"), delete_link("eth0"), delete_link("eth1"))
    assert [parse_link(payload).name for payload in netlink.dump(get_links())] == ["lo"]


def test_addresses_and_routes_are_seen_as_they_were_given(netlink: Netlink) -> None:
    netlink.do(add_bridge("br", MAC), set_link("br", up=True))
    index = seen(netlink, "br").index
    netlink.do(
        add_address(index, "10.241.0.5/16"),
        add_address(index, "10.242.0.1/32", "10.242.0.2"),
        add_address(index, "fdbd:e804:6aa9:2::5/64"),
        set_default_route("10.241.0.254"),
        set_unreachable(IPv4Network("10.242.0.0/16")),
    )
    given = [
        Address(address="10.241.0.5/16", peer=""),
        Address(address="10.242.0.1/32", peer="10.242.0.2"),
        Address(address="fdbd:e804:6aa9:2::5/64", peer=""),
    ]
    assert [address for address in addresses(netlink) if address in given] == given
    by_network = {str(route.network): route for route in routes(netlink)}
    assert by_network["0.0.0.0/0"].gateway == "10.241.0.254"
    assert by_network["10.242.0.0/16"].interface == 0


def test_giving_an_address_again_is_no_error_and_it_can_be_taken(netlink: Netlink) -> None:
    netlink.do(*[add_address(1, "10.1.0.1/24"), add_address(1, "fd00::1/64")] * 2)
    netlink.do(delete_address(1, "10.1.0.1/24"), delete_address(1, "fd00::1/64"))
    assert addresses(netlink) == []


def test_the_kernels_own_words_are_told(netlink: Netlink) -> None:
    with pytest.raises(
        NetlinkError, match=r"give address 10\.0\.0\.1/24: No such device"
    ) as caught:
        netlink.do(add_address(99, "10.0.0.1/24"))
    assert caught.value.errno == errno.ENODEV


def test_one_that_fails_among_many_is_told_and_the_others_are_done(netlink: Netlink) -> None:
    wanted = [
        add_address(1 if number != 150 else 99, f"fd00::{number:x}/128") for number in range(300)
    ]
    answers = netlink.ask(wanted)
    failed = [number for number, answer in enumerate(answers) if answer.error is not None]
    assert failed == [150]
    assert len(addresses(netlink)) == 299


def test_a_dump_of_thousands_is_whole(netlink: Netlink) -> None:
    netlink.do(*(add_address(1, f"fd00::{number:x}/128") for number in range(1, 3001)))
    assert len({address.address for address in addresses(netlink)}) == 3000


def test_many_interfaces_are_looked_at_in_one_go(netlink: Netlink) -> None:
    found = netlink.do(*(get_link("lo") for _ in range(200)))
    assert {parse_link(payload).name for payload in found} == {"lo"}
