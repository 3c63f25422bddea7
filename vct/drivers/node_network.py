"""A node's network namespace: eth0 on the local bridge, with the addresses it will have.

Made before the container, which then shares the namespace: a node's network outlives its reboots
and crashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vct import names
from vct.drivers import netns
from vct.drivers.base import Problems, create_one
from vct.drivers.fabric import claim_namespace, make_own_namespaces, visible_addresses
from vct.drivers.network import Network
from vct.drivers.network_batch import Batch, Pair, Setting
from vct.drivers.rtnetlink_messages import (
    RT_TABLE_MAIN,
    Address,
    Interface,
    get_routes,
    parse_route,
)
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
        for route in map(parse_route, self._network.at(namespace).dump(get_routes())):
            if route.table == RT_TABLE_MAIN and not route.network.prefixlen:
                return route.gateway
        return ""

    def claim(self, thing: NodeNetwork) -> None:
        claim_namespace(self._network, thing.namespace)

    def create(self, thing: NodeNetwork) -> None:
        create_one(self, thing)

    def create_many(self, things: Sequence[NodeNetwork]) -> Problems:
        spaces = {thing.namespace: thing.key for thing in things}
        missing = [
            name for name in spaces if not netns.namespace_inode(name) or netns.is_half_made(name)
        ]
        batch = Batch(self._network)
        problems = make_own_namespaces(self._network, missing, _trust_addresses)
        batch.problems.update((spaces[name], problem) for name, problem in problems.items())
        self._connect(batch, things)
        return batch.problems

    def change(self, was: NodeNetwork, thing: NodeNetwork) -> None:
        """Make eth0 anew; the namespace, and a node that runs in it, stay."""
        batch = Batch(self._network)
        self._connect(batch, [thing])
        for problem in batch.problems.values():
            raise problem

    def delete(self, thing: NodeNetwork) -> None:
        self._network.release(thing.namespace)
        netns.delete_namespace(thing.namespace)

    def _connect(self, batch: Batch, things: Sequence[NodeNetwork]) -> None:
        fabric = self._network.fabric
        bridge = self._network.index(fabric, names.LOCAL_BRIDGE)
        batch.make_pairs(
            [
                Pair(
                    key=thing.key,
                    namespace=fabric,
                    interface=names.local_port(thing.node),
                    peer_namespace=thing.namespace,
                    peer=ETH0,
                    peer_mac=thing.mac,
                    master=bridge,
                )
                for thing in things
            ]
        )
        batch.set_up(
            [
                Setting(
                    key=thing.key,
                    namespace=thing.namespace,
                    interface=ETH0,
                    addresses=[Address(address=one, peer="") for one in thing.addresses],
                    gateway=thing.gateway,
                )
                for thing in things
            ]
        )


def _trust_addresses() -> None:
    DUPLICATE_DETECTION.write_text("0")


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
