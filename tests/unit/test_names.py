"""Names, MACs and addresses: CONFINE's worked examples, uniqueness, lengths, node sets."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct import names
from vct.errors import UsageError

nodes = st.integers(1, names.LAST_NODE).map(names.node_id)
interfaces = st.integers(0, names.DIRECT_INTERFACES_MAX)
testbed_names = st.from_regex(names.TESTBED_NAME, fullmatch=True)
segment_names = st.from_regex(names.SEGMENT_NAME, fullmatch=True)
ALL_NODES = [f"{number:04x}" for number in range(1, names.LAST_NODE + 1)]


def test_it_works() -> None:
    assert names.mac(0, "0001") == "52:54:00:00:00:01"


# --- the original's documents --------------------------------------------------------------------

# Worked examples of the original for nodes 0001 and 0a12; slice 12, sliver number 1. Its libvirt
# domains and disk files have no counterpart here.
WORKED: list[tuple[str, Callable[[str], object], str, str]] = [
    ("number", names.node_number, "1", "2578"),
    ("MAC eth0", lambda node: names.mac(0, node), "52:54:00:00:00:01", "52:54:00:00:0a:12"),
    ("MAC eth1", lambda node: names.mac(1, node), "52:54:00:01:00:01", "52:54:00:01:0a:12"),
    ("MAC eth2", lambda node: names.mac(2, node), "52:54:00:02:00:01", "52:54:00:02:0a:12"),
    (
        "rescue",
        names.rescue_ipv6,
        "fdbd:e804:6aa9:2:5054:ff:fe00:1",
        "fdbd:e804:6aa9:2:5054:ff:fe00:a12",
    ),
    ("management", names.management_ipv6, "fd65:fc41:c50f:1::2", "fd65:fc41:c50f:a12::2"),
    ("debug", names.debug_ipv6, "fd5f:eee5:e6ad:1::2", "fd5f:eee5:e6ad:a12::2"),
    (
        "node API",
        names.node_api_url,
        "http://[fd65:fc41:c50f:1::2]/confine/api/",
        "http://[fd65:fc41:c50f:a12::2]/confine/api/",
    ),
    ("tinc", names.tinc_name, "node_1", "node_2578"),
    (
        "tinc subnet",
        names.management_network,
        "fd65:fc41:c50f:1::/64",
        "fd65:fc41:c50f:a12::/64",
    ),
    (
        "sliver management",
        lambda node: names.sliver_management_ipv6(node, 1, 12),
        "fd65:fc41:c50f:1:1001::c",
        "fd65:fc41:c50f:a12:1001::c",
    ),
    (
        "sliver MAC 00",
        lambda node: names.sliver_mac(node, 1, 0),
        "54:c0:00:01:01:00",
        "54:c0:0a:12:01:00",
    ),
    (
        "sliver MAC 01",
        lambda node: names.sliver_mac(node, 1, 1),
        "54:c0:00:01:01:01",
        "54:c0:0a:12:01:01",
    ),
    (
        "sliver host name",
        lambda node: names.sliver_hostname(node, 12),
        "00000000000c_0001",
        "00000000000c_0a12",
    ),
    ("host name", names.hostname, "rd0001", "rd0a12"),
]


@pytest.mark.parametrize(
    ("derive", "of_0001", "of_0a12"), [row[1:] for row in WORKED], ids=[row[0] for row in WORKED]
)
def test_worked_examples_hold(derive: Callable[[str], object], of_0001: str, of_0a12: str) -> None:
    assert (str(derive("0001")), str(derive("0a12"))) == (of_0001, of_0a12)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (names.RECOVERY1_IPV4, "192.168.241.130"),
        (names.RECOVERY1_IPV6, "fdbd:e804:6aa9:1::2"),
        (names.INTERNAL_IPV4, "192.168.241.126"),
        (names.INTERNAL_IPV6, "fdbd:e804:6aa9::1"),
        (names.sliver_private_ipv4(1), "192.168.241.1"),
        (names.sliver_private_ipv6(12), "fdbd:e804:6aa9:0:1000::c"),
        (names.RESCUE_GATEWAY, "fdbd:e804:6aa9:2::2"),
        (names.CONTROLLER_MANAGEMENT_IPV6, "fd65:fc41:c50f::2"),
        (names.LOCAL_GATEWAY, "10.241.0.254"),
        (names.DHCP_FIRST, "10.241.0.1"),
        (names.DHCP_LAST, "10.241.0.199"),
    ],
)
def test_worked_examples_that_are_the_same_on_all_nodes_hold(value: object, expected: str) -> None:
    assert str(value) == expected


def test_eui64_is_that_of_rfc_4291() -> None:
    assert names.eui64("34:56:78:9a:bc:de") == 0x3656_78FF_FE9A_BCDE
    assert str(names.link_local_ipv6("52:54:00:00:00:01")) == "fe80::5054:ff:fe00:1"


# --- uniqueness ----------------------------------------------------------------------------------


@given(nodes, interfaces, nodes, interfaces)
def test_no_two_interfaces_have_the_same_mac(
    node: str, interface: int, other: str, other_interface: int
) -> None:
    same = (node, interface) == (other, other_interface)
    assert (names.mac(interface, node) == names.mac(other_interface, other)) is same


@given(nodes, interfaces, segment_names, st.integers(0, 255), st.integers(0, 255))
def test_kinds_of_macs_do_not_overlap(
    node: str, interface: int, segment: str, sliver: int, sliver_interface: int
) -> None:
    macs = {
        names.mac(interface, node),
        names.LOCAL_BRIDGE_MAC,
        names.segment_bridge_mac(segment),
        names.sliver_mac(node, sliver, sliver_interface),
    }
    assert len(macs) == 4
    assert all(int(mac[:2], 16) & 1 == 0 for mac in macs), "a MAC is a group address"


@pytest.mark.parametrize(
    "address",
    [
        names.local_ipv4,
        names.link_ipv4,
        names.rescue_ipv6,
        names.management_ipv6,
        names.debug_ipv6,
    ],
)
def test_every_node_has_its_own_address(
    address: Callable[[str], IPv4Address | IPv6Address],
) -> None:
    given_out = {address(node) for node in ALL_NODES}
    reserved = {
        names.LOCAL_GATEWAY,
        names.LOCAL_NETWORK.network_address,
        names.LOCAL_NETWORK.broadcast_address,
        names.LINK_NETWORK.network_address,
        names.LINK_NETWORK.broadcast_address,
        names.RESCUE_GATEWAY,
        names.CONTROLLER_MANAGEMENT_IPV6,
    }
    assert len(given_out) == len(ALL_NODES)
    assert not given_out & reserved


def test_local_addresses_are_in_the_local_network() -> None:
    assert all(names.local_ipv4(node) in names.LOCAL_NETWORK for node in ALL_NODES)
    assert all(names.link_ipv4(node) in names.LINK_NETWORK for node in ALL_NODES)


def test_the_node_that_would_be_the_gateway_has_another_address() -> None:
    assert str(names.local_ipv4("00fd")) == "10.241.0.253"
    assert str(names.local_ipv4("00fe")) == "10.241.255.254"


@given(nodes, st.integers(1, 125), st.integers(0, 255), st.integers(0, 2**48 - 1))
def test_a_sliver_never_has_its_nodes_address(
    node: str, sliver: int, interface: int, slice_number: int
) -> None:
    assert names.sliver_management_ipv6(node, interface, slice_number) != names.management_ipv6(
        node
    )
    assert names.sliver_private_ipv4(sliver) != names.INTERNAL_IPV4
    assert names.sliver_private_ipv4(sliver) in names.SLIVER_PRIVATE_NETWORK


@pytest.mark.parametrize("slot", [0, 1, names.UPLINK_SLOTS - 1])
def test_uplink_networks_do_not_overlap(slot: int) -> None:
    host, fabric = names.uplink_ipv4(slot)
    assert (int(host), int(fabric)) == (
        int(names.UPLINK_NETWORK.network_address) + 4 * slot + 1,
        int(names.UPLINK_NETWORK.network_address) + 4 * slot + 2,
    )
    assert host in names.UPLINK_NETWORK


@given(testbed_names)
def test_a_testbed_begins_its_search_for_an_uplink_in_range(testbed: str) -> None:
    assert 0 <= names.uplink_slot(testbed) < names.UPLINK_SLOTS


# --- lengths and forms ---------------------------------------------------------------------------


@given(testbed_names, segment_names, nodes, interfaces)
def test_interface_names_fit_the_kernel(
    testbed: str, segment: str, node: str, interface: int
) -> None:
    made = [
        names.LOCAL_BRIDGE,
        names.uplink_interface(testbed),
        names.direct_interface(interface),
        names.local_port(node),
        names.segment_bridge(segment),
        names.segment_port(node, interface),
    ]
    assert all(len(name) <= names.INTERFACE_NAME_MAX for name in made), made


@given(segment_names, nodes, interfaces)
def test_interfaces_of_the_fabric_have_different_names(
    segment: str, node: str, interface: int
) -> None:
    made = {
        names.LOCAL_BRIDGE,
        names.local_port(node),
        names.segment_bridge(segment),
        names.segment_port(node, interface),
    }
    assert len(made) == 4


@given(testbed_names, testbed_names)
def test_two_testbeds_never_share_an_uplink_name(one: str, other: str) -> None:
    same = names.uplink_interface(one) == names.uplink_interface(other)
    assert same is (one == other)


@given(testbed_names)
def test_only_shortened_uplink_names_have_an_underscore(testbed: str) -> None:
    full = f"vct-{testbed}"
    name = names.uplink_interface(testbed)
    assert (name == full) is (len(full) <= names.INTERFACE_NAME_MAX)
    assert ("_" in name) is (name != full)


def test_long_testbed_names_with_the_same_beginning_have_different_uplinks() -> None:
    assert names.uplink_interface("experiment-one") != names.uplink_interface("experiment-two")


@given(testbed_names, testbed_names, nodes)
def test_a_fabric_is_never_named_like_a_node(one: str, other: str, node: str) -> None:
    assert names.fabric_namespace(one) != names.node_namespace(other, node)


# --- what people write ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "ring", "r2", "my-ring", "x" * 32, "beef", "a-00012"])
def test_testbed_names(name: str) -> None:
    assert names.check_testbed_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Ring",
        "2ring",
        "-ring",
        "ring-",
        "ring_a",
        "my ring",
        "ring-0001",
        "a-beef",
        "x" * 33,
        "é",
        "ring\n",
        "ring/..",
        "..",
    ],
)
def test_what_is_no_testbed_name(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.check_testbed_name(name)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["0000", "fff1", "ffff", "1", "00001", "0A12", "g000", "", "0001\n"]
)
def test_what_is_no_node_id(text: str) -> None:
    with pytest.raises(UsageError):
        names.check_node_id(text)


@given(st.integers(1, names.LAST_NODE))
def test_a_node_id_is_its_number(number: int) -> None:
    assert names.node_number(names.node_id(number)) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ["0001", "0002", "0004", "0007", "0a12"]),
        ("0001", ["0001"]),
        ("0001-0004", ["0001", "0002", "0004"]),
        ("0001,0007", ["0001", "0007"]),
        ("0007,0001", ["0001", "0007"]),
        ("0001-0002, 0002,0007-0a12", ["0001", "0002", "0007", "0a12"]),
        ("0001,all", ["0001", "0002", "0004", "0007", "0a12"]),
    ],
)
def test_node_sets(text: str, expected: list[str]) -> None:
    known = ["0001", "0002", "0004", "0007", "0a12"]
    assert list(names.parse_node_set(text, known)) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "0003", "0005-0006", "0004-0001", "0001-", "1-4", "ALL", "0001;0002", "*"]
)
def test_what_is_no_node_set(text: str) -> None:
    with pytest.raises(UsageError):
        names.parse_node_set(text, ["0001", "0002", "0004"])


def test_a_missing_node_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(UsageError) as caught:
        names.parse_node_set("0009", ["0001", "0002", "0004"])
    assert caught.value.hint == "this testbed has 0001-0002,0004"


@given(st.sets(nodes, min_size=1))
def test_a_rendered_node_set_names_the_same_nodes(chosen: set[str]) -> None:
    known = sorted(chosen)
    assert names.parse_node_set(names.render_node_set(chosen), known) == tuple(known)


@given(st.sets(nodes, min_size=1), st.sets(nodes))
def test_a_rendered_node_set_names_no_other_nodes(chosen: set[str], others: set[str]) -> None:
    known = sorted(chosen | others)
    assert set(names.parse_node_set(names.render_node_set(chosen), known)) == chosen


def test_a_node_that_is_given_twice_is_rendered_once() -> None:
    assert names.render_node_set(["0001", "0001", "0002"]) == "0001-0002"


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "derive",
    [
        lambda: names.mac(256, "0001"),
        lambda: names.mac(-1, "0001"),
        lambda: names.sliver_mac("0001", 256, 0),
        lambda: names.sliver_mac("0001", 1, 256),
        lambda: names.sliver_private_ipv4(0),
        lambda: names.sliver_private_ipv4(126),
        lambda: names.sliver_hostname("0001", 2**48),
        lambda: names.sliver_private_ipv6(2**48),
        lambda: names.sliver_management_ipv6("0001", 0, -1),
    ],
)
def test_a_number_that_does_not_fit_is_refused(derive: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        derive()
