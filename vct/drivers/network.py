"""The testbed's namespaces as netlink sees them: one snapshot for all drivers, one socket each.

The drivers of fabric, bridges, uplink, node networks, wires and ports share a `Network`: it knows
the testbed's mark, takes the snapshot that they observe from, and keeps sockets open for the
changes that follow. It decides nothing. Not for several threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from types import TracebackType
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vct import names
from vct.drivers import netns
from vct.errors import RefusedError

HOST = ""  # the host's own namespace, among names of namespaces
IFA_F_NODAD = 0x02  # linux/if_addr.h: usable at once, nobody else can have this address


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`address/prefix` on an interface; `peer` is the neighbour it points at, if any."""

    address: str
    peer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What netlink says about one interface. `kind` is veth, bridge, tun, … or empty."""

    index: int
    name: str
    mac: str
    alias: str
    kind: str
    up: bool
    master: int
    addresses: tuple[Address, ...]


Snapshot = Mapping[str, Mapping[str, Interface]]


class Network:
    """One testbed's namespaces: `mark` names installation and testbed, see vct.drivers.netns."""

    def __init__(self, home: Path, testbed: str) -> None:
        self.testbed = testbed
        self.mark = f"vct {home} {testbed}"
        self.fabric = names.fabric_namespace(testbed)
        self._sockets: dict[str, IPRoute] = {}
        self._snapshot: dict[str, dict[str, Interface]] | None = None

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets; a namespace lives as long as a socket in it is open."""
        for name in list(self._sockets):
            self.release(name)

    def release(self, namespace: str) -> None:
        """Close the socket of one namespace."""
        socket = self._sockets.pop(namespace, None)
        if socket is not None:
            socket.close()

    def at(self, namespace: str) -> IPRoute:
        """A netlink socket inside a namespace (HOST: the host's)."""
        if namespace not in self._sockets:
            with self.inside(namespace):
                self._sockets[namespace] = IPRoute()
        return self._sockets[namespace]

    @contextmanager
    def inside(self, namespace: str) -> Iterator[None]:
        """Run the block inside a namespace (HOST: where we are)."""
        if namespace == HOST:
            yield
        else:
            with netns.entered(namespace):
                yield

    # --- seeing ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Forget the snapshot: the next look is a fresh one."""
        self._snapshot = None
        self.close()

    @property
    def snapshot(self) -> Snapshot:
        """Interfaces by name of all namespaces that carry the testbed's mark."""
        if self._snapshot is None:
            self._snapshot = {}
            for name in self._candidates():
                interfaces = self.look(name)
                if interfaces.get("lo") and interfaces["lo"].alias == self.mark:
                    self._snapshot[name] = interfaces
                else:
                    self.release(name)
        return self._snapshot

    def node_namespaces(self) -> dict[str, str]:
        """Node id to namespace, of those seen."""
        start = len(self.fabric) + 1
        return {name[start:]: name for name in self.snapshot if name != self.fabric}

    def half_made(self) -> list[str]:
        """Names without a namespace behind them, left by a crash while one was made."""
        return [name for name in self._candidates() if netns.is_half_made(name)]

    def _candidates(self) -> list[str]:
        return [
            name
            for name in netns.namespace_names()
            if name == self.fabric
            or (
                name.startswith(f"{self.fabric}-")
                and names.NODE_ID.fullmatch(name[len(self.fabric) + 1 :])
            )
        ]

    def look(self, namespace: str) -> dict[str, Interface]:
        """A namespace's interfaces as they are now."""
        if namespace != HOST and netns.is_half_made(namespace):
            return {}
        netlink = self.at(namespace)
        addresses: dict[int, list[Address]] = {}
        for message in netlink.get_addr():
            addresses.setdefault(message["index"], []).append(_address(message))
        found = (_interface(message, addresses) for message in netlink.get_links())
        return {interface.name: interface for interface in found}

    def host_interface(self, name: str) -> Interface | None:
        """One interface of the host, if it is there."""
        try:
            messages = list(self.at(HOST).link("get", ifname=name))
        except NetlinkError:
            return None
        index = messages[0]["index"]
        dump = self.at(HOST).get_addr(index=index)
        return _interface(messages[0], {index: [_address(message) for message in dump]})

    # --- doing -----------------------------------------------------------------------------------

    def index(self, namespace: str, interface: str) -> int:
        """The index of an interface. Raises RefusedError when it is not there."""
        found: Sequence[int] = self.at(namespace).link_lookup(ifname=interface)
        if not found:
            raise RefusedError(
                f"interface {interface} of {namespace or 'the host'} is gone",
                hint="something else removed it; run: vct init",
            )
        return found[0]

    def has(self, namespace: str, interface: str) -> bool:
        """Whether a namespace has an interface now."""
        return bool(self.at(namespace).link_lookup(ifname=interface))

    def add_veth(
        self, namespace: str, interface: str, peer_namespace: str, peer: str, **options: Any
    ) -> None:
        """A veth pair across two namespaces. `options` hold `address` and `peer_address` (MACs)."""
        far: dict[str, Any] = {"ifname": peer}
        if "peer_address" in options:
            far["address"] = options.pop("peer_address")
        if peer_namespace == namespace:
            self.at(namespace).link("add", ifname=interface, kind="veth", peer=far, **options)
            return
        descriptor = os.open(_namespace_file(peer_namespace), os.O_RDONLY | os.O_CLOEXEC)
        try:
            far["net_ns_fd"] = descriptor
            self.at(namespace).link("add", ifname=interface, kind="veth", peer=far, **options)
        finally:
            os.close(descriptor)

    def move_to_host(self, namespace: str, index: int) -> None:
        """Move an interface into the host's namespace."""
        with Path(_namespace_file(HOST)).open() as host:
            self.at(namespace).link("set", index=index, net_ns_fd=host.fileno())

    def set_up(self, namespace: str, interface: str, **changes: Any) -> int:
        """Set an interface up with further changes (`ifalias`, `master`, …); returns its index."""
        index = self.index(namespace, interface)
        self.at(namespace).link("set", index=index, state="up", **changes)
        return index

    def add_address(self, namespace: str, index: int, address: str, peer: str = "") -> None:
        """Give an interface `address/prefix`, or an address that points at one neighbour."""
        interface = ip_interface(address)
        options: dict[str, Any] = {"address": str(interface.ip), "prefixlen": 32}
        if peer:
            options |= {"local": str(interface.ip), "address": peer}
        else:
            options |= {"prefixlen": interface.network.prefixlen}
        if interface.version == 6:
            options["flags"] = IFA_F_NODAD
        self.at(namespace).addr("replace", index=index, **options)

    def delete_interface(self, namespace: str, interface: str) -> None:
        """Remove an interface; no error if it or its namespace is gone."""
        there = namespace == HOST or netns.namespace_inode(namespace)
        if not there or netns.is_half_made(namespace):
            return
        for index in self.at(namespace).link_lookup(ifname=interface):
            try:
                self.at(namespace).link("del", index=index)
            except NetlinkError as error:
                if error.code != 19:  # ENODEV: went away meanwhile
                    raise


def _namespace_file(namespace: str) -> str:
    return "/proc/thread-self/ns/net" if namespace == HOST else str(netns.namespace_path(namespace))


def _address(message: Any) -> Address:
    address, local = message.get("address"), message.get("local")
    own = local or address
    return Address(
        address=f"{own}/{message['prefixlen']}",
        peer=address if local and address != local else "",
    )


def _interface(message: Any, addresses: Mapping[int, list[Address]]) -> Interface:
    info = message.get("linkinfo")
    return Interface(
        index=message["index"],
        name=message.get("ifname"),
        mac=message.get("address") or "",
        alias=message.get("ifalias") or "",
        kind=(info.get("kind") if info else "") or "",
        up=bool(message["flags"] & 1),
        master=message.get("master") or 0,
        addresses=tuple(addresses.get(message["index"], ())),
    )
