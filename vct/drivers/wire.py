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
from collections.abc import Iterator

from vct.drivers.network import Interface, Network
from vct.plan.things import End, Port, Wire

DIRECT_INTERFACE = re.compile(r"eth[1-9][0-9]*")
# linux/if_tun.h
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
DEVICES = {"veth": "veth", "tun": "tap"}  # netlink's word to ours


def attach(network: Network, end: End, alias: str) -> None:
    """Give a node's interface its mark, MAC and addresses, and set it up."""
    index = network.set_up(end.namespace, end.interface, ifalias=alias, address=end.mac)
    for neighbour in end.neighbours:
        network.add_address(end.namespace, index, f"{end.address}/32", peer=neighbour)


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
        a, b = both_ends(thing)
        # One that is there already is a remnant: its other end was in a namespace that is gone, or
        # is being removed by the kernel just now.
        for end in (a, b):
            self._network.delete_interface(end.namespace, end.interface)
        if thing.device == "tap":
            for end in (a, b):
                with self._network.inside(end.namespace):
                    make_tap(end.interface)
        else:
            self._network.add_veth(a.namespace, a.interface, b.namespace, b.interface)
        for side, end in (("a", a), ("b", b)):
            alias = f"vct:{self._network.testbed}:link:{thing.link}:{side}"
            attach(self._network, end, alias)

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
        network, end = self._network, thing.end
        network.delete_interface(end.namespace, end.interface)  # remnants, as for wires
        network.delete_interface(network.fabric, thing.fabric_interface)
        network.add_veth(network.fabric, thing.fabric_interface, end.namespace, end.interface)
        alias = f"vct:{network.testbed}:segment:{thing.segment}:{end.node}"
        bridge = network.index(network.fabric, thing.bridge)
        network.set_up(network.fabric, thing.fabric_interface, master=bridge, ifalias=alias)
        attach(network, end, alias)

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
