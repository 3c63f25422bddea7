"""What should exist for a testbed, and which numbers are given out for it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct import names
from vct.errors import RefusedError
from vct.model.load import parse_testbed
from vct.model.testbed import Link, Node, Testbed
from vct.plan.steps import diff
from vct.plan.things import (
    KINDS,
    Bridge,
    Container,
    Controller,
    Dhcp,
    NodeFiles,
    NodeNetwork,
    Port,
    Relay,
    Shaping,
    Thing,
    Uplink,
    Wire,
)
from vct.plan.wanted import BuiltImage, Facts, Numbers, number, wanted

IMAGES = {
    ("node-debian", "amd64"): BuiltImage(label="node-debian@0123", root="/images/amd64"),
    ("node-debian", "i386"): BuiltImage(label="node-debian@4567", root="/images/i386"),
}
NETEM = Facts(netem=True, images=IMAGES)
NO_NETEM = Facts(netem=False, images=IMAGES)


def bed(text: str) -> Testbed:
    return parse_testbed(f"name: ring\n{text}", "ring.yaml")


def things(text: str, facts: Facts = NETEM) -> list[Thing]:
    testbed = bed(text)
    return wanted(testbed, number(testbed, None), facts)


PAIR = 'nodes: {"0001": {}, "0002": {}}\n'
LINKED = PAIR + 'links: [{between: ["0001", "0002"], delay: 5ms, backward: {rate: 1mbit}}]'


def of(kind: type[Thing], found: list[Thing]) -> list[Thing]:
    return [thing for thing in found if isinstance(thing, kind)]


def test_it_works() -> None:
    found = things(LINKED)
    assert of(NodeNetwork, found)[0] == NodeNetwork(
        node="0001",
        namespace="vct-ring-0001",
        mac="52:54:00:00:00:01",
        addresses=("10.241.0.1/16", "fdbd:e804:6aa9:2:5054:ff:fe00:1/64"),
        gateway="10.241.0.254",
    )
    assert of(Container, found)[0] == Container(
        node="0001",
        namespace="vct-ring-0001",
        hostname="rd0001",
        image="node-debian@0123",
        root="/images/amd64",
        arch="amd64",
        memory_mib=256,
        disk_mib=512,
    )


def test_all_kinds_are_known_and_no_key_is_given_twice() -> None:
    found = things(LINKED + '\nsegments: [{name: roof, members: ["0001", "0002"]}]')
    assert {type(thing) for thing in found} <= set(KINDS)
    places = [(type(thing), thing.key) for thing in found]
    assert len(places) == len(set(places))


def test_what_a_node_says_of_itself_is_wanted_of_its_things() -> None:
    found = things('nodes: {"0a12": {arch: i386, memory: 1GiB, disk: 2GiB, boot: full}}')
    (container,) = of(Container, found)
    assert isinstance(container, Container)
    assert (container.arch, container.root) == ("i386", "/images/i386")
    assert (container.memory_mib, container.disk_mib, container.boot) == (1024, 2048, "full")
    assert of(NodeFiles, found) == [NodeFiles(node="0a12", disk_mib=2048)]


def test_native_management_addresses_are_on_the_local_network() -> None:
    text = 'nodes: {"0001": {}}\ncontroller: {}\n'
    images = {**IMAGES, ("controller", "amd64"): BuiltImage(label="c", root="/c")}
    facts = replace(NETEM, images=images)
    mesh = {t.key: t for t in things(text, facts) if isinstance(t, NodeNetwork)}
    native = f"{text}management: {{backend: native}}"
    plain = {t.key: t for t in things(native, facts) if isinstance(t, NodeNetwork)}
    assert set(plain["0001"].addresses) - set(mesh["0001"].addresses) == {"fd65:fc41:c50f:1::2/48"}
    assert set(plain["ctl"].addresses) - set(mesh["ctl"].addresses) == {"fd65:fc41:c50f::2/48"}
    (controller,) = (t for t in things(native, facts) if isinstance(t, Controller))
    assert controller.management == "native"


def test_every_node_has_its_lease_and_two_names() -> None:
    (dhcp,) = of(Dhcp, things(PAIR))
    assert isinstance(dhcp, Dhcp)
    assert [(h.mac, h.address, h.name, h.link_address) for h in dhcp.hosts] == [
        ("52:54:00:00:00:01", "10.241.0.1", "rd0001", "10.242.0.1"),
        ("52:54:00:00:00:02", "10.241.0.2", "rd0002", "10.242.0.2"),
    ]


def test_a_link_joins_the_next_free_interfaces_of_its_nodes() -> None:
    (wire,) = of(Wire, things(LINKED))
    assert isinstance(wire, Wire)
    assert wire.a is not None
    assert wire.b is not None
    assert (wire.a.node, wire.a.interface, wire.a.address) == ("0001", "eth1", "10.242.0.1")
    assert wire.a.neighbours == ("10.242.0.2",)
    assert (wire.b.namespace, wire.b.mac) == ("vct-ring-0002", "52:54:00:01:00:02")


def test_with_netem_each_shaped_direction_is_the_kernels() -> None:
    found = things(LINKED)
    shaping = [thing for thing in found if isinstance(thing, Shaping)]
    assert [(s.direction, s.engine, str(s.quality)) for s in shaping] == [
        ("forward", "netem", "delay 5ms"),
        ("backward", "netem", "delay 5ms, rate 1mbit"),
    ]
    assert (shaping[1].source_namespace, shaping[1].sink_interface) == ("vct-ring-0002", "eth1")
    assert not of(Relay, found)


def test_without_netem_a_delayed_link_is_the_relays_between_two_taps() -> None:
    found = things(LINKED, NO_NETEM)
    assert [thing.device for thing in found if isinstance(thing, Wire)] == ["tap"]
    (relay,) = of(Relay, found)
    assert isinstance(relay, Relay)
    assert [(link.link, str(link.backward)) for link in relay.links] == [
        ("0001-0002", "delay 5ms, rate 1mbit")
    ]
    assert not of(Shaping, found)


def test_a_direction_without_quality_is_not_shaped() -> None:
    text = PAIR + 'links: [{between: ["0001", "0002"], forward: {loss: 1%}}]'
    shaped = [t.direction for t in things(text, NO_NETEM) if isinstance(t, Shaping)]
    assert shaped == ["forward"]


def test_a_segment_is_a_bridge_with_a_port_for_each_member() -> None:
    found = things(PAIR + 'segments: [{name: roof, members: ["0001", "0002"]}]')
    assert [t.name for t in found if isinstance(t, Bridge)] == ["vct-local", "seg-roof"]
    ports = [thing for thing in found if isinstance(thing, Port)]
    assert [(p.key, p.bridge, p.fabric_interface, p.end.interface) for p in ports] == [
        ("roof:0001", "seg-roof", "port-0001-1", "eth1"),
        ("roof:0002", "seg-roof", "port-0002-1", "eth1"),
    ]
    assert ports[0].end.neighbours == ("10.242.0.2",)


# --- numbers -------------------------------------------------------------------------------------


def test_numbers_stay_with_their_links_and_gaps_are_filled() -> None:
    first = bed(PAIR + 'links: [{between: ["0001", "0002"], name: x}, ' + written("y") + "]")
    before = number(first, None)
    assert before.interfaces["0001"] == {"link x": 1, "link y": 2}
    without = number(replace(first, links=first.links[1:]), before)
    assert without.interfaces["0001"] == {"link y": 2}
    added = replace(first, links=(*link("z"), first.links[1], *link("w")))
    assert number(added, without).interfaces["0001"] == {"link z": 1, "link y": 2, "link w": 3}


def written(name: str) -> str:
    return f'{{between: ["0001", "0002"], name: {name}}}'


def link(name: str) -> tuple[Link, ...]:
    return (Link(name=name, a="0001", b="0002"),)


def test_a_link_and_a_segment_of_one_name_are_two_places() -> None:
    text = PAIR + f"links: [{written('x')}]\n" + 'segments: [{name: x, members: ["0001", "0002"]}]'
    assert number(bed(text), None).interfaces["0002"] == {"link x": 1, "segment x": 2}


def test_the_uplink_keeps_its_network() -> None:
    before = Numbers(uplink=77)
    assert number(bed(PAIR), before).uplink == 77
    (uplink,) = of(Uplink, wanted(bed("nodes: {}"), before, NETEM))
    assert isinstance(uplink, Uplink)
    assert (uplink.host_address, uplink.fabric_address) == ("10.240.1.53/30", "10.240.1.54/30")


@pytest.mark.parametrize("before", [None, Numbers(uplink=names.uplink_slot("ring"))])
def test_an_uplink_keeps_clear_of_networks_that_the_host_uses(before: Numbers | None) -> None:
    free = names.uplink_slot("ring")
    host, _ = names.uplink_ipv4(free)
    taken = [IPv4Network(f"{host}/30", strict=False)]
    assert number(bed(PAIR), before, taken).uplink == (free + 1) % names.UPLINK_SLOTS


def test_a_wider_network_such_as_a_vpns_leaves_room_for_an_uplink() -> None:
    assert number(bed(PAIR), None, [IPv4Network("10.0.0.0/8")]) == number(bed(PAIR), None)


def test_a_host_that_uses_all_of_the_uplinks_range_is_told_so() -> None:
    with pytest.raises(RefusedError, match=r"10\.240\.0\.0/16 is in use"):
        number(bed(PAIR), None, [names.UPLINK_NETWORK])


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12), st.data())
def test_no_node_has_an_interface_twice_whatever_came_and_went(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    nodes = tuple(Node(id=f"{index:04x}") for index in range(1, 7))
    links = tuple(
        Link(name=f"l{i}", a=f"{a:04x}", b=f"{b:04x}") for i, (a, b) in enumerate(pairs) if a != b
    )
    some = tuple(one for one in links if data.draw(st.booleans()))
    first = Testbed(name="ring", nodes=nodes, links=some)
    before = number(first, None)
    after = number(replace(first, links=links), before)
    for node, places in after.interfaces.items():
        assert len(set(places.values())) == len(places)
        assert before.interfaces[node].items() <= places.items()
    want = wanted(first, before, NO_NETEM)
    assert not diff(wanted(first, number(first, before), NO_NETEM), want)
