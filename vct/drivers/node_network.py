"""A node's network namespace: eth0 on the local bridge, with the addresses it will have.

Made before the container, which then shares the namespace: a node's network outlives its reboots
and crashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vct import names
from vct.drivers import netns
from vct.drivers.fabric import claim_namespace, make_own_namespace, visible_addresses
from vct.drivers.network import Interface, Network
from vct.plan.things import NodeNetwork

ETH0 = "eth0"
# All MACs are given out by vct: link-local addresses can be used at once, not after a second.
DUPLICATE_DETECTION = Path("/proc/sys/net/ipv6/conf/default/accept_dad")


class NodeNetworkDriver:
    """Makes and observes node namespaces; a node's direct links are wires and ports."""

    kind = NodeNetwork
    workers = 1

    def __init__(self, network: Network) -> None:
        self._network = network

    def observe(self) -> list[NodeNetwork]:
        network = self._network
        fabric = network.snapshot.get(network.fabric, {})
        return [
            _seen(
                node,
                name,
                network.snapshot[name].get(ETH0),
                self._gateway(name),
                joined=_joined(fabric, names.local_port(node)),
            )
            for node, name in network.node_namespaces().items()
        ]

    def _gateway(self, namespace: str) -> str:
        # dst_len 0: only default routes
        for route in self._network.at(namespace).get_default_routes(family=2, table=254):
            return str(route.get("gateway") or "")
        return ""

    def claim(self, thing: NodeNetwork) -> None:
        claim_namespace(self._network, thing.namespace)

    def create(self, thing: NodeNetwork) -> None:
        if not netns.namespace_inode(thing.namespace) or netns.is_half_made(thing.namespace):
            make_own_namespace(self._network, thing.namespace)
            with self._network.inside(thing.namespace):
                DUPLICATE_DETECTION.write_text("0")
        self._connect(thing)

    def change(self, was: NodeNetwork, thing: NodeNetwork) -> None:
        """Make eth0 anew; the namespace, and a node that runs in it, stay."""
        self._network.delete_interface(thing.namespace, ETH0)
        self._connect(thing)

    def delete(self, thing: NodeNetwork) -> None:
        self._network.release(thing.namespace)
        netns.delete_namespace(thing.namespace)

    def _connect(self, thing: NodeNetwork) -> None:
        network, port = self._network, names.local_port(thing.node)
        # One whose eth0 is in a namespace that lost its name, or is just being removed.
        network.delete_interface(network.fabric, port)
        network.add_veth(network.fabric, port, thing.namespace, ETH0, peer_address=thing.mac)
        bridge = network.index(network.fabric, names.LOCAL_BRIDGE)
        network.set_up(network.fabric, port, master=bridge)
        index = network.set_up(thing.namespace, ETH0)
        for address in thing.addresses:
            network.add_address(thing.namespace, index, address)
        if thing.gateway:
            network.at(thing.namespace).route("replace", dst="default", gateway=thing.gateway)


def _joined(fabric: Mapping[str, Interface], port: str) -> bool:
    """Whether a port is on the local bridge, and up."""
    found, bridge = fabric.get(port), fabric.get(names.LOCAL_BRIDGE)
    return bool(found and found.up and bridge and found.master == bridge.index)


def _seen(
    node: str, namespace: str, found: Interface | None, gateway: str, *, joined: bool
) -> NodeNetwork:
    return NodeNetwork(
        node=node,
        namespace=namespace,
        mac=found.mac if found else "",
        addresses=visible_addresses(found) if found else (),
        gateway=gateway,
        joined=joined,
    )
