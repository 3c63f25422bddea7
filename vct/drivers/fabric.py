"""The fabric namespace of a testbed and the bridges in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_interface
from pathlib import Path

from vct import names
from vct.drivers import netns
from vct.drivers.base import Problems
from vct.drivers.hostwide import HostWide
from vct.drivers.network import Network
from vct.drivers.rtnetlink_messages import (
    Interface,
    add_bridge,
    delete_address,
    set_link,
    set_unreachable,
)
from vct.errors import RefusedError
from vct.plan.things import Bridge, Fabric

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def claim_namespace(network: Network, name: str) -> None:
    """Raise RefusedError if a namespace of this name exists and is not the testbed's own."""
    if name in netns.namespace_names() and name not in network.snapshot:
        if netns.is_half_made(name):
            return
        raise RefusedError(
            f"a network namespace {name} exists and is not ours",
            hint=f"see who uses it: ip netns pids {name}\n"
            "rename your testbed (name: in its file), or remove the namespace yourself",
        )


def make_own_namespaces(
    network: Network, namespaces: Sequence[str], prepare: Callable[[], None]
) -> Problems:
    """Make namespaces of the testbed; what a crash left under their names is taken away first.
    `prepare` is called inside each. Returns what went wrong, by name."""
    for name in namespaces:
        if netns.is_half_made(name):
            netns.delete_namespace(name)
    return netns.make_namespaces(namespaces, network.mark, prepare)


def _forward() -> None:
    FORWARDING.write_text("1")


class FabricDriver:
    """Makes the fabric namespace, which forwards IPv4 between its interfaces."""

    kind = Fabric
    workers = 1

    def __init__(self, network: Network, host: HostWide) -> None:
        self._network = network
        self._host = host

    def observe(self) -> list[Fabric]:
        network = self._network
        there, half_made = network.fabric in network.snapshot, network.half_made()
        if not there and not half_made:
            return []
        return [Fabric(namespace=network.fabric, whole=there and not half_made)]

    def claim(self, thing: Fabric) -> None:
        claim_namespace(self._network, thing.namespace)

    def create(self, thing: Fabric) -> None:
        with self._host.namespaces():
            problems = make_own_namespaces(self._network, [thing.namespace], _forward)
        for problem in problems.values():
            raise problem
        # Who is no neighbour cannot be reached over links; without this it would be sent outside.
        self._network.do(thing.namespace, set_unreachable(names.LINK_NETWORK))

    def change(self, was: Fabric, thing: Fabric) -> None:
        """Take away what a crash left half-made; the undo of that takes away all."""
        if not thing.whole:
            self.delete(thing)
            return
        self._forget_half_made()
        if not netns.namespace_inode(thing.namespace):
            self.create(thing)

    def _forget_half_made(self) -> None:
        for name in self._network.half_made():
            netns.delete_namespace(name)

    def delete(self, thing: Fabric) -> None:
        self._forget_half_made()
        self._network.release(thing.namespace)
        netns.delete_namespace(thing.namespace)
        self._host.release()


class BridgeDriver:
    """Makes bridges in the fabric: the local network, and one for each segment."""

    kind = Bridge
    workers = 1

    def __init__(self, network: Network) -> None:
        self._network = network

    def observe(self) -> list[Bridge]:
        interfaces = self._network.snapshot.get(self._network.fabric, {})
        return [_seen_bridge(found) for found in interfaces.values() if found.kind == "bridge"]

    def claim(self, thing: Bridge) -> None:
        pass  # it is in the testbed's own namespace

    def create(self, thing: Bridge) -> None:
        network, fabric = self._network, self._network.fabric
        if network.interface(fabric, thing.name) is None:
            network.do(fabric, add_bridge(thing.name, thing.mac))
        network.do(fabric, set_link(thing.name, up=True))
        network.give(fabric, thing.name, thing.addresses)

    def change(self, was: Bridge, thing: Bridge) -> None:
        network, fabric = self._network, self._network.fabric
        index = network.index(fabric, thing.name)
        network.do(fabric, set_link(thing.name, mac=thing.mac))
        gone = (address for address in was.addresses if address not in thing.addresses)
        network.do(fabric, *(delete_address(index, address) for address in gone))
        self.create(thing)

    def delete(self, thing: Bridge) -> None:
        self._network.delete_interface(self._network.fabric, thing.name)


def _seen_bridge(found: Interface) -> Bridge:
    return Bridge(name=found.name, mac=found.mac, addresses=visible_addresses(found))


def visible_addresses(found: Interface) -> tuple[str, ...]:
    """An interface's addresses but for those that the kernel adds by itself, sorted."""
    return tuple(
        sorted(
            address.address
            for address in found.addresses
            if not ip_interface(address.address).is_link_local
        )
    )
