"""The testbed's namespaces as netlink sees them: one snapshot for all drivers, one socket each.

The drivers of fabric, bridges, uplink, node networks, wires and ports share a `Network`: it knows
the testbed's mark, takes the snapshot that they observe from, and keeps sockets open for the
changes that follow. It decides nothing. Not for several threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from vct import names
from vct.drivers import netns
from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_codec import Request
from vct.drivers.rtnetlink_messages import (
    Address,
    Interface,
    add_address,
    delete_link,
    get_addresses,
    get_link,
    get_links,
    parse_address,
    parse_link,
)
from vct.errors import RefusedError

HOST = ""  # the host's own namespace, among names of namespaces
MOST_SOCKETS = 256  # a process may have 1024 files open

Snapshot = Mapping[str, Mapping[str, Interface]]


class Network:
    """One testbed's namespaces: `mark` names installation and testbed, see vct.drivers.netns."""

    def __init__(self, home: Path, testbed: str) -> None:
        self.testbed = testbed
        self.mark = f"vct {home} {testbed}"
        self.fabric = names.fabric_namespace(testbed)
        self._sockets: dict[str, Netlink] = {}
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

    def at(self, namespace: str) -> Netlink:
        """A netlink socket inside a namespace (HOST: the host's)."""
        if namespace not in self._sockets:
            if len(self._sockets) >= MOST_SOCKETS:
                self.release(next(iter(self._sockets)))
            with self.inside(namespace):
                self._sockets[namespace] = Netlink()
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
        """Node id to namespace, of those seen; the controller's is one of them."""
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
                and names.MEMBER.fullmatch(name[len(self.fabric) + 1 :])
            )
        ]

    def look(self, namespace: str) -> dict[str, Interface]:
        """A namespace's interfaces as they are now."""
        if namespace != HOST and netns.is_half_made(namespace):
            return {}
        netlink = self.at(namespace)
        addresses: dict[int, list[Address]] = {}
        for payload in netlink.dump(get_addresses()):
            index, address = parse_address(payload)
            addresses.setdefault(index, []).append(address)
        found = (parse_link(payload, addresses) for payload in netlink.dump(get_links()))
        return {interface.name: interface for interface in found}

    def interface(self, namespace: str, name: str) -> Interface | None:
        """One interface as it is now, without its addresses; None if it is not there."""
        (payload,) = self.at(namespace).do(get_link(name))
        return parse_link(payload) if payload else None

    def host_interface(self, name: str) -> Interface | None:
        """One interface of the host with its addresses, if it is there."""
        found = self.interface(HOST, name)
        if found is None:
            return None
        told = map(parse_address, self.at(HOST).dump(get_addresses()))
        own = tuple(address for index, address in told if index == found.index)
        return replace(found, addresses=own)

    # --- doing -----------------------------------------------------------------------------------

    def do(self, namespace: str, *requests: Request) -> None:
        """Ask for changes in a namespace. Raises the first NetlinkError."""
        self.at(namespace).do(*requests)

    def index(self, namespace: str, interface: str) -> int:
        """The index of an interface. Raises RefusedError when it is not there."""
        found = self.interface(namespace, interface)
        if found is None:
            raise RefusedError(
                f"interface {interface} of {namespace or 'the host'} is gone",
                hint="something else removed it; run: vct init",
            )
        return found.index

    @contextmanager
    def opened(self, namespace: str) -> Iterator[int]:
        """A namespace as a file descriptor, to make interfaces in it or move them there."""
        path = Path("/proc/thread-self/ns/net")
        if namespace != HOST:
            path = netns.namespace_path(namespace)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def give(self, namespace: str, interface: str, addresses: Iterable[str]) -> None:
        """Give an interface addresses, each `address/prefix`."""
        index = self.index(namespace, interface)
        self.do(namespace, *(add_address(index, address) for address in addresses))

    def delete_interface(self, namespace: str, interface: str) -> None:
        """Remove an interface; no error if it or its namespace is gone."""
        there = namespace == HOST or netns.namespace_inode(namespace)
        if there and not netns.is_half_made(namespace):
            self.do(namespace, delete_link(interface))
