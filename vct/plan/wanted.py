"""From a testbed to the things that should exist. Pure: the same inputs give the same things.

`Numbers` are what was given out before and must stay as it was (which ethN a link has, where the
uplink's network is); `Facts` are what this host offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address

from vct import names
from vct.errors import RefusedError
from vct.model.testbed import Link, Node, Segment, Testbed
from vct.plan.things import (
    Bridge,
    Container,
    Controller,
    ControllerFiles,
    Dhcp,
    DhcpHost,
    End,
    Fabric,
    Keys,
    NodeFiles,
    NodeNetwork,
    Port,
    Relay,
    RelayLink,
    Shaping,
    Thing,
    Uplink,
    Wire,
)
from vct.quality import choose_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What was given out: per node, the interface index of each link or segment (by `link NAME`,
    `segment NAME`), and the uplink's number."""

    uplink: int
    interfaces: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that nodes can be started from: `name@digest` and its directory."""

    label: str
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSystem:
    """What a node that was updated boots: the number of the system on its disk, and its image.

    Without an image it is the one that the testbed file names, as of nodes never updated.
    """

    number: int = 1
    image: BuiltImage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What this host offers: kernel features, images by name and architecture; and the systems of
    nodes that were updated."""

    netem: bool
    images: Mapping[tuple[str, str], BuiltImage]
    systems: Mapping[str, NodeSystem] = field(default_factory=dict)


def number(testbed: Testbed, before: Numbers | None, taken: Sequence[IPv4Network] = ()) -> Numbers:
    """Numbers for everything in the testbed; what had a number keeps it, gaps are filled.

    `taken` are networks that the uplink must keep clear of.
    """
    interfaces: dict[str, dict[str, int]] = {}
    for node in testbed.nodes:
        places = [place for place, members in _places(testbed) if node.id in members]
        old = before.interfaces.get(node.id, {}) if before else {}
        kept = {place: old[place] for place in places if place in old}
        free = (index for index in range(1, 0x100) if index not in kept.values())
        interfaces[node.id] = {
            place: kept[place] if place in kept else next(free) for place in places
        }
    first = before.uplink if before else names.uplink_slot(testbed.name)
    uplink = _free_uplink(first, taken)
    if uplink is None and before:
        uplink = before.uplink  # as good as any other
    if uplink is None:
        raise RefusedError(
            f"all of {names.UPLINK_NETWORK} is in use on this host",
            hint="vct takes a /30 of it for each testbed; see: ip route",
        )
    return Numbers(uplink=uplink, interfaces=interfaces)


def _free_uplink(first: int, taken: Sequence[IPv4Network]) -> int | None:
    # In a wider network, such as a VPN's 10.0.0.0/8, the uplink's route is the longer one.
    near = [net for net in taken if net.prefixlen >= names.UPLINK_NETWORK.prefixlen]
    for slot in range(first, first + names.UPLINK_SLOTS):
        host, _ = names.uplink_ipv4(slot)
        if not any(host in network for network in near):
            return slot % names.UPLINK_SLOTS
    return None


def _places(testbed: Testbed) -> list[tuple[str, tuple[str, ...]]]:
    links = [(f"link {link.name}", (link.a, link.b)) for link in testbed.links]
    segments = [(f"segment {segment.name}", segment.members) for segment in testbed.segments]
    return links + segments


def wanted(testbed: Testbed, numbers: Numbers, facts: Facts) -> list[Thing]:
    """Every thing that should exist for this testbed."""
    things: list[Thing] = [
        Keys(testbed=testbed.name),
        Fabric(namespace=names.fabric_namespace(testbed.name)),
        _local_bridge(),
        _uplink(testbed, numbers),
        _dhcp(testbed),
    ]
    things += _controller(testbed, numbers, facts)
    for node in testbed.nodes:
        things += _node(testbed, node, facts)
    carried: list[RelayLink] = []
    for link in testbed.links:
        a = _end(testbed, numbers, link.a, f"link {link.name}", (link.b,))
        b = _end(testbed, numbers, link.b, f"link {link.name}", (link.a,))
        engine = choose_engine(link.forward, link.backward, netem=facts.netem)
        device = "tap" if engine == "relay" else "veth"
        things.append(Wire(link=link.name, a=a, b=b, device=device))
        if engine == "relay":
            carried.append(_relay_link(link, a, b))
        else:
            things += _shaping(link, a, b, engine)
    if carried:
        links = tuple(sorted(carried, key=lambda item: item.link))
        things.append(Relay(testbed=testbed.name, links=links))
    for segment in testbed.segments:
        things += _segment(testbed, numbers, segment)
    return things


def _local_bridge() -> Bridge:
    prefix = names.LOCAL_NETWORK.prefixlen
    addresses = (f"{names.LOCAL_GATEWAY}/{prefix}", f"{names.RESCUE_GATEWAY}/64")
    return Bridge(
        name=names.LOCAL_BRIDGE, mac=names.LOCAL_BRIDGE_MAC, addresses=tuple(sorted(addresses))
    )


def _uplink(testbed: Testbed, numbers: Numbers) -> Uplink:
    host, fabric = names.uplink_ipv4(numbers.uplink)
    return Uplink(
        interface=names.uplink_interface(testbed.name),
        host_address=f"{host}/30",
        fabric_address=f"{fabric}/30",
        door=f"{names.CONTROLLER_IPV4}:{names.CONTROLLER_PORT}" if testbed.controller else "",
    )


def _dhcp(testbed: Testbed) -> Dhcp:
    controller = DhcpHost(
        mac=names.CONTROLLER_MAC,
        address=str(names.CONTROLLER_IPV4),
        name=names.CONTROLLER_HOSTNAME,
        link_address="",
    )
    return Dhcp(
        interface=names.LOCAL_BRIDGE,
        first=str(names.DHCP_FIRST),
        last=str(names.DHCP_LAST),
        hosts=tuple(
            DhcpHost(
                mac=names.mac(0, node.id),
                address=str(names.local_ipv4(node.id)),
                name=names.hostname(node.id),
                link_address=str(names.link_ipv4(node.id)),
            )
            for node in testbed.nodes
        )
        + ((controller,) if testbed.controller else ()),
    )


def controller_hosts(numbers: Numbers) -> tuple[str, ...]:
    """What the controller may be called by, as in a URL: the first is the host's way to it."""
    _, fabric = names.uplink_ipv4(numbers.uplink)
    return (
        str(fabric),
        str(names.CONTROLLER_IPV4),
        f"[{names.controller_rescue_ipv6()}]",
        f"[{names.CONTROLLER_MANAGEMENT_IPV6}]",
        names.CONTROLLER_HOSTNAME,
        f"{names.CONTROLLER_HOSTNAME}.{names.DOMAIN}",
    )


def _controller(testbed: Testbed, numbers: Numbers, facts: Facts) -> list[Thing]:
    controller = testbed.controller
    if controller is None:
        return []
    namespace = names.controller_namespace(testbed.name)
    addresses = (
        f"{names.CONTROLLER_IPV4}/{names.LOCAL_NETWORK.prefixlen}",
        f"{names.controller_rescue_ipv6()}/64",
        *_native(testbed, names.CONTROLLER_MANAGEMENT_IPV6),
    )
    image = facts.images[controller.image, controller.arch]
    return [
        ControllerFiles(disk_mib=controller.disk_mib),
        NodeNetwork(
            node=names.CONTROLLER,
            namespace=namespace,
            mac=names.CONTROLLER_MAC,
            addresses=tuple(sorted(addresses)),
            gateway=str(names.LOCAL_GATEWAY),
        ),
        Controller(
            namespace=namespace,
            hostname=names.CONTROLLER_HOSTNAME,
            image=image.label,
            root=image.root,
            arch=controller.arch,
            memory_mib=controller.memory_mib,
            disk_mib=controller.disk_mib,
            hosts=controller_hosts(numbers),
            management=testbed.management.backend,
        ),
    ]


def _native(testbed: Testbed, address: IPv6Address) -> tuple[str, ...]:
    """A management address as one of the local network; in a tinc mesh it is tinc's to give."""
    if testbed.controller is None or testbed.management.backend != "native":
        return ()
    return (f"{address}/{names.MANAGEMENT_PREFIX_LENGTH}",)


def _node(testbed: Testbed, node: Node, facts: Facts) -> list[Thing]:
    namespace = names.node_namespace(testbed.name, node.id)
    addresses = (
        f"{names.local_ipv4(node.id)}/{names.LOCAL_NETWORK.prefixlen}",
        f"{names.rescue_ipv6(node.id)}/64",
        *_native(testbed, names.management_ipv6(node.id)),
    )
    system = facts.systems.get(node.id, NodeSystem())
    image = system.image or facts.images[node.image, node.arch]
    return [
        NodeFiles(node=node.id, disk_mib=node.disk_mib),
        NodeNetwork(
            node=node.id,
            namespace=namespace,
            mac=names.mac(0, node.id),
            addresses=tuple(sorted(addresses)),
            gateway=str(names.LOCAL_GATEWAY),
        ),
        Container(
            node=node.id,
            namespace=namespace,
            hostname=names.hostname(node.id),
            image=image.label,
            root=image.root,
            arch=node.arch,
            memory_mib=node.memory_mib,
            disk_mib=node.disk_mib,
            boot=node.boot,
            system=system.number,
        ),
    ]


def _end(
    testbed: Testbed, numbers: Numbers, node: str, place: str, neighbours: tuple[str, ...]
) -> End:
    index = numbers.interfaces[node][place]
    return End(
        node=node,
        namespace=names.node_namespace(testbed.name, node),
        interface=names.direct_interface(index),
        mac=names.mac(index, node),
        address=str(names.link_ipv4(node)),
        neighbours=tuple(sorted(str(names.link_ipv4(other)) for other in neighbours)),
    )


def _relay_link(link: Link, a: End, b: End) -> RelayLink:
    return RelayLink(
        link=link.name,
        a_namespace=a.namespace,
        a_interface=a.interface,
        b_namespace=b.namespace,
        b_interface=b.interface,
        forward=link.forward,
        backward=link.backward,
    )


def _shaping(link: Link, a: End, b: End, engine: str) -> list[Thing]:
    directions = (("forward", a, b, link.forward), ("backward", b, a, link.backward))
    return [
        Shaping(
            link=link.name,
            direction=direction,
            source_namespace=source.namespace,
            source_interface=source.interface,
            sink_namespace=sink.namespace,
            sink_interface=sink.interface,
            engine=engine,
            quality=quality,
        )
        for direction, source, sink, quality in directions
        if quality
    ]


def _segment(testbed: Testbed, numbers: Numbers, segment: Segment) -> list[Thing]:
    bridge = names.segment_bridge(segment.name)
    things: list[Thing] = [Bridge(name=bridge, mac=names.segment_bridge_mac(segment.name))]
    for node in segment.members:
        others = tuple(other for other in segment.members if other != node)
        end = _end(testbed, numbers, node, f"segment {segment.name}", others)
        port = names.segment_port(node, numbers.interfaces[node][f"segment {segment.name}"])
        things.append(Port(segment=segment.name, bridge=bridge, end=end, fabric_interface=port))
    return things
