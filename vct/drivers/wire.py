"""Links and ports: node interfaces that are joined to another node's, or to a segment's bridge.

A point-to-point link is one veth pair straight between two node namespaces, or, where the relay
has to carry it, two persistent TAPs. The alias of each interface says which link it belongs to:
`vct:<testbed>:link:<name>:a` or `…:b`, `vct:<testbed>:segment:<name>:<node>`.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator, Sequence

from vct.drivers.base import Problems, create_one
from vct.drivers.network import Network
from vct.drivers.network_batch import Batch, Pair, Setting
from vct.drivers.rtnetlink_messages import Address, Interface, set_link
from vct.plan.things import End, Port, Wire

DIRECT_INTERFACE = re.compile(r"eth[1-9][0-9]*")
# linux/if_tun.h
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
DEVICES = {"veth": "veth", "tun": "tap"}  # netlink's word to ours


def setting(key: str, end: End, alias: str, *, mac: str = "") -> Setting:
    """How a node's interface shall be: its mark, an address for each neighbour, a MAC if it was
    not made with it."""
    return Setting(
        key=key,
        namespace=end.namespace,
        interface=end.interface,
        mac=mac,
        alias=alias,
        addresses=[Address(address=f"{end.address}/32", peer=peer) for peer in end.neighbours],
    )


def seen_end(node: str, namespace: str, found: Interface) -> End:
    """A node's interface as an end, with the neighbours that its addresses point at."""
    own = [address for address in found.addresses if address.peer]
    return End(
        node=node,
        namespace=namespace,
        interface=found.name,
        mac=found.mac,
        address=own[0].address.split("/")[0] if own else "",
        neighbours=tuple(sorted(address.peer for address in own)),
        up=found.up,
    )


class WireDriver:
    """Makes and observes point-to-point links."""

    kind = Wire
    workers = 1

    def __init__(self, network: Network) -> None:
        self._network = network

    def observe(self) -> list[Wire]:
        prefix = f"vct:{self._network.testbed}:link:"
        ends: dict[str, dict[str, tuple[End, str]]] = {}
        for node, namespace, found in direct_interfaces(self._network):
            link, _, side = found.alias.removeprefix(prefix).rpartition(":")
            if not found.alias.startswith(prefix):
                if found.alias or found.kind not in DEVICES:
                    continue
                # A crash between making and marking: nobody wants it, so it will be deleted.
                link, side = f"unfinished {node} {found.name}", "a"
            device = DEVICES.get(found.kind, found.kind)
            ends.setdefault(link, {})[side] = seen_end(node, namespace, found), device
        return [_seen_wire(link, sides) for link, sides in sorted(ends.items())]

    def claim(self, thing: Wire) -> None:
        pass  # both ends are in the testbed's own namespaces

    def create(self, thing: Wire) -> None:
        create_one(self, thing)

    def create_many(self, things: Sequence[Wire]) -> Problems:
        batch = Batch(self._network)
        batch.make_pairs([_pair(thing) for thing in things if thing.device == "veth"])
        for thing in things:
            if thing.device == "tap":
                with batch.noting(thing.key):
                    self._make_taps(thing)
        prefix = f"vct:{self._network.testbed}:link:"
        batch.set_up(
            [
                setting(
                    thing.key,
                    end,
                    f"{prefix}{thing.link}:{side}",
                    mac=end.mac if thing.device == "tap" else "",
                )
                for thing in things
                for side, end in zip("ab", both_ends(thing), strict=True)
            ]
        )
        return batch.problems

    def _make_taps(self, thing: Wire) -> None:
        for end in both_ends(thing):
            self._network.delete_interface(end.namespace, end.interface)  # remnants, as of pairs
            with self._network.inside(end.namespace):
                make_tap(end.interface)

    def change(self, was: Wire, thing: Wire) -> None:
        self.delete(was)
        self.create(thing)

    def delete(self, thing: Wire) -> None:
        for end in (thing.a, thing.b):
            if end is not None:
                self._network.delete_interface(end.namespace, end.interface)


class PortDriver:
    """Makes and observes node interfaces on segments."""

    kind = Port
    workers = 1

    def __init__(self, network: Network) -> None:
        self._network = network

    def observe(self) -> list[Port]:
        network = self._network
        fabric = network.snapshot.get(network.fabric, {})
        bridges = {found.index: found.name for found in fabric.values() if found.kind == "bridge"}
        by_alias = {found.alias: found for found in fabric.values() if found.alias and found.master}
        ports = []
        for node, namespace, found in direct_interfaces(network):
            prefix = f"vct:{network.testbed}:segment:"
            if not found.alias.startswith(prefix):
                continue
            far = by_alias.get(found.alias)
            ports.append(
                Port(
                    segment=found.alias.removeprefix(prefix).rpartition(":")[0],
                    bridge=bridges.get(far.master, "") if far else "",
                    end=seen_end(node, namespace, found),
                    fabric_interface=far.name if far else "",
                )
            )
        return ports

    def claim(self, thing: Port) -> None:
        pass  # both ends are in the testbed's own namespaces

    def create(self, thing: Port) -> None:
        create_one(self, thing)

    def create_many(self, things: Sequence[Port]) -> Problems:
        network = self._network
        batch = Batch(network)
        bridges: dict[str, int] = {}
        for thing in things:
            with batch.noting(thing.key):
                if thing.bridge not in bridges:
                    bridges[thing.bridge] = network.index(network.fabric, thing.bridge)
        sound = [thing for thing in things if thing.key not in batch.problems]
        batch.make_pairs(
            [
                Pair(
                    key=thing.key,
                    namespace=network.fabric,
                    interface=thing.fabric_interface,
                    peer_namespace=thing.end.namespace,
                    peer=thing.end.interface,
                    peer_mac=thing.end.mac,
                    master=bridges[thing.bridge],
                )
                for thing in sound
            ]
        )
        for thing in sound:
            marked = set_link(thing.fabric_interface, alias=self._alias(thing))
            batch.add(thing.key, network.fabric, marked)
        batch.set_up([setting(thing.key, thing.end, self._alias(thing)) for thing in sound])
        return batch.problems

    def _alias(self, thing: Port) -> str:
        return f"vct:{self._network.testbed}:segment:{thing.segment}:{thing.end.node}"

    def change(self, was: Port, thing: Port) -> None:
        self.delete(was)
        self.create(thing)

    def delete(self, thing: Port) -> None:
        self._network.delete_interface(thing.end.namespace, thing.end.interface)


def direct_interfaces(network: Network) -> Iterator[tuple[str, str, Interface]]:
    """Node, namespace and interface, of all nodes' eth1, eth2, …"""
    for node, namespace in network.node_namespaces().items():
        for found in network.snapshot[namespace].values():
            if DIRECT_INTERFACE.fullmatch(found.name):
                yield node, namespace, found


def both_ends(wire: Wire) -> tuple[End, End]:
    """The two ends of a wire that is wanted; only seen ones may lack one."""
    assert wire.a is not None  # noqa: S101 - see Wire
    assert wire.b is not None  # noqa: S101
    return wire.a, wire.b


def _pair(wire: Wire) -> Pair:
    a, b = both_ends(wire)
    return Pair(
        key=wire.key,
        namespace=a.namespace,
        interface=a.interface,
        peer_namespace=b.namespace,
        peer=b.interface,
        mac=a.mac,
        peer_mac=b.mac,
    )


def make_tap(name: str) -> None:
    """Make a TAP that stays when nobody holds it open, in the calling thread's namespace."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        fcntl.ioctl(device, TUNSETPERSIST, 1)
    finally:
        os.close(device)


def _seen_wire(link: str, sides: dict[str, tuple[End, str]]) -> Wire:
    a, b = sides.get("a"), sides.get("b")
    devices = {side[1] for side in (a, b) if side}
    return Wire(
        link=link,
        a=a[0] if a else None,
        b=b[0] if b else None,
        device=devices.pop() if len(devices) == 1 else "mixed",
    )
