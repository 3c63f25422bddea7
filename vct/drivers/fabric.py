"""The fabric namespace of a testbed and the bridges in it."""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

from vct import names
from vct.drivers import netns
from vct.drivers.hostwide import HostWide
from vct.drivers.network import Interface, Network
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


def make_own_namespace(network: Network, name: str) -> None:
    """Make a namespace of the testbed; what a crash left under its name is taken away first."""
    if netns.is_half_made(name):
        netns.delete_namespace(name)
    netns.make_namespace(name, network.mark)


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
            make_own_namespace(self._network, thing.namespace)
        with self._network.inside(thing.namespace):
            FORWARDING.write_text("1")
        # Who is no neighbour cannot be reached over links; without this it would be sent outside.
        self._network.at(thing.namespace).route(
            "replace", dst=str(names.LINK_NETWORK), type="unreachable"
        )

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
        fabric = self._network.fabric
        if not self._network.has(fabric, thing.name):
            # Snooping would drop neighbour discovery until somebody queries; nobody does.
            self._network.at(fabric).link(
                "add",
                ifname=thing.name,
                kind="bridge",
                address=thing.mac,
                br_mcast_snooping=0,
                br_forward_delay=0,
            )
        index = self._network.set_up(fabric, thing.name)
        for address in thing.addresses:
            self._network.add_address(fabric, index, address)

    def change(self, was: Bridge, thing: Bridge) -> None:
        fabric = self._network.fabric
        index = self._network.index(fabric, thing.name)
        self._network.at(fabric).link("set", index=index, address=thing.mac)
        for address in was.addresses:
            if address not in thing.addresses:
                found = ip_interface(address)
                self._network.at(fabric).addr(
                    "del", index=index, address=str(found.ip), prefixlen=found.network.prefixlen
                )
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
