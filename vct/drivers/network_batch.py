"""Changes for many things in many namespaces, sent namespace by namespace in a few goes.

A driver adds what each of its things needs and sends it; what goes wrong is kept by the thing's
key, and nothing more is sent for that thing. Called by the drivers whose `create_many` makes veth
pairs: node networks, wires, ports.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from vct.drivers.base import Problems
from vct.drivers.network import Network
from vct.drivers.rtnetlink_codec import Request
from vct.drivers.rtnetlink_messages import (
    Address,
    add_address,
    add_veth,
    delete_link,
    get_link,
    parse_link,
    set_default_route,
    set_link,
)
from vct.errors import VctError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A veth pair of the thing `key`. Without MACs the kernel chooses some. With a `master`, a
    bridge's index, the near end is up and on that bridge."""

    key: str
    namespace: str
    interface: str
    peer_namespace: str
    peer: str
    mac: str = ""
    peer_mac: str = ""
    master: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How an interface of the thing `key` shall be, beside being up. What is empty stays as
    it is; `gateway` is that of the namespace's default route."""

    key: str
    namespace: str
    interface: str
    mac: str = ""
    alias: str = ""
    addresses: Sequence[Address] = ()
    gateway: str = ""


class Batch:
    """What is still to be sent, by namespace, and what went wrong, by the key of the thing."""

    def __init__(self, network: Network) -> None:
        self.problems: Problems = {}
        self._network = network
        self._waiting: dict[str, list[tuple[str, Request]]] = {}

    def add(self, key: str, namespace: str, *requests: Request) -> None:
        """Requests for a thing; those to one namespace are sent in the order in which they came."""
        self._waiting.setdefault(namespace, []).extend((key, request) for request in requests)

    def send(self) -> list[tuple[str, bytes]]:
        """Send all that was added, but for things that have a problem. Returns what was told, each
        with its namespace."""
        waiting, self._waiting = self._waiting, {}
        told = []
        for namespace, added in waiting.items():
            asked = [(key, request) for key, request in added if key not in self.problems]
            if not asked:
                continue
            with self.noting(*(key for key, _ in asked)):
                answers = self._network.at(namespace).ask([request for _, request in asked])
                for (key, _), answer in zip(asked, answers, strict=True):
                    if answer.error is not None:
                        self.problems.setdefault(key, answer.error)
                    if answer.payload:
                        told.append((namespace, answer.payload))
        return told

    @contextmanager
    def noting(self, *keys: str) -> Iterator[None]:
        """What goes wrong in the block is a problem of these things."""
        try:
            yield
        except (OSError, VctError) as error:
            for key in keys:
                self.problems.setdefault(key, error)

    def make_pairs(self, pairs: Sequence[Pair]) -> None:
        """Make veth pairs, in place of what has the names of their ends: that is a remnant, whose
        other end was in a namespace that is gone, or that the kernel is removing just now."""
        self._add_pairs(pairs)
        again = [pair for pair in pairs if _is_taken(self.problems.get(pair.key))]
        for pair in again:
            del self.problems[pair.key]
            self.add(pair.key, pair.namespace, delete_link(pair.interface))
            self.add(pair.key, pair.peer_namespace, delete_link(pair.peer))
        self.send()
        self._add_pairs(again)

    def _add_pairs(self, pairs: Sequence[Pair]) -> None:
        with ExitStack() as files:
            opened: dict[str, int] = {}
            for pair in (pair for pair in pairs if pair.key not in self.problems):
                with self.noting(pair.key):
                    there = pair.peer_namespace
                    if there not in opened:
                        opened[there] = files.enter_context(self._network.opened(there))
                    made = add_veth(
                        pair.interface,
                        pair.peer,
                        opened[there],
                        mac=pair.mac,
                        peer_mac=pair.peer_mac,
                        master=pair.master,
                    )
                    self.add(pair.key, pair.namespace, made)
            self.send()

    def set_up(self, settings: Sequence[Setting]) -> None:
        """Set interfaces up that are there, with all that belongs to them."""
        for each in settings:
            shape = set_link(each.interface, up=True, alias=each.alias, mac=each.mac)
            self.add(each.key, each.namespace, shape, get_link(each.interface))
        found = [(namespace, parse_link(payload)) for namespace, payload in self.send()]
        indexes = {(namespace, link.name): link.index for namespace, link in found}
        for each in settings:
            index = indexes.get((each.namespace, each.interface), 0)
            if not index:
                continue  # it has a problem
            wanted = [add_address(index, one.address, one.peer) for one in each.addresses]
            if each.gateway:
                wanted.append(set_default_route(each.gateway))
            self.add(each.key, each.namespace, *wanted)
        self.send()


def _is_taken(problem: OSError | VctError | None) -> bool:
    return isinstance(problem, OSError) and problem.errno == errno.EEXIST
