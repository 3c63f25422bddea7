"""The links that a relay carries: their TAPs, the two directions of each, and what is due when.

Frames are read from one TAP, pass the direction's queue and are written to the other. Descriptors
are registered with the epoll that the relay waits on; nothing here waits. Standard library only:
vct.drivers.relay_process runs it.
"""

from __future__ import annotations

import heapq
import os
import select
from collections.abc import Callable, Iterable
from itertools import count

from vct.drivers import relay_tap
from vct.drivers.relay_protocol import Counters, LinkState
from vct.drivers.relay_queue import Direction
from vct.drivers.relay_tap import Tap
from vct.plan.things import RelayLink

NOWHERE = -1  # the descriptor of a TAP that is not attached
BATCH = 64  # frames taken from one TAP before others get their turn
FRAME_OCTETS = 65_536  # the largest frame that a TAP can have
EARLY_NS = 20_000  # frames due this soon go now: waking up again would take longer


class Way:
    """One direction of a link with the descriptor that it ends at."""

    __slots__ = ("direction", "sink")

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.sink = NOWHERE


class Carried:
    """One link: its two ends, each a TAP or the reason why there is none."""

    def __init__(self, link: RelayLink) -> None:
        self.link = link
        self.taps: list[Tap | None] = [None, None]
        self.troubles = ["", ""]
        self.ways = (Way(Direction(link.forward)), Way(Direction(link.backward)))

    def state(self) -> LinkState:
        forward, backward = (_counters(way.direction) for way in self.ways)
        trouble = "; ".join(filter(None, self.troubles))
        return LinkState(link=self.link, trouble=trouble, forward=forward, backward=backward)


class Links:
    """All links of a relay. `attach` opens a TAP or raises OSError; `log` takes a line."""

    def __init__(
        self,
        epoll: select.epoll,
        log: Callable[[str], None],
        attach: Callable[[str, str], Tap] = relay_tap.attach,
        is_attached: Callable[[Tap], bool] = relay_tap.is_attached,
    ) -> None:
        self._epoll = epoll
        self._log = log
        self._attach = attach
        self._is_attached = is_attached
        self._carried: dict[str, Carried] = {}
        self._sources: dict[int, tuple[Carried, int]] = {}  # by descriptor: link, number of its end
        self._due: list[tuple[int, int, Way]] = []  # a heap: one entry per way with frames in it
        self._ticket = count()

    # --- frames ----------------------------------------------------------------------------------

    def receive(self, descriptor: int, now_ns: int) -> bool:
        """Take in what waits at a TAP. False if the descriptor is none of a TAP."""
        source = self._sources.get(descriptor)
        if source is None:
            return False
        carried, end = source
        way = carried.ways[end]
        arrive, was_empty = way.direction.arrive, not len(way.direction)
        try:
            for _ in range(BATCH):
                arrive(os.read(descriptor, FRAME_OCTETS), now_ns)
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(carried, end, error.strerror or str(error))
        if was_empty:
            self._expect(way)
        return True

    def deliver(self, now_ns: int) -> None:
        """Send on what is due."""
        due, until_ns = self._due, now_ns + EARLY_NS
        while due and due[0][0] <= until_ns:
            way = heapq.heappop(due)[2]
            direction = way.direction
            while (frame := direction.take(until_ns)) is not None:
                try:
                    os.write(way.sink, frame)
                except OSError:  # the far interface is down, full or gone
                    direction.undelivered(frame)
            self._expect(way)

    def next_ns(self) -> int | None:
        """When the next frame is due; None if none is under way."""
        return self._due[0][0] if self._due else None

    def _expect(self, way: Way) -> None:
        at_ns = way.direction.next_ns()
        if at_ns is not None:
            heapq.heappush(self._due, (at_ns, next(self._ticket), way))

    # --- links -----------------------------------------------------------------------------------

    def set(self, links: Iterable[RelayLink], now_ns: int) -> None:
        """Carry exactly these links. Those that stay keep what is under way."""
        wanted = {link.link: link for link in links}
        for name, carried in list(self._carried.items()):
            if name not in wanted or places(wanted[name]) != places(carried.link):
                self._drop(carried)
        for name, link in wanted.items():
            carried = self._carried.setdefault(name, Carried(link))
            carried.link = link
            for way, quality in zip(carried.ways, (link.forward, link.backward), strict=True):
                if way.direction.quality != quality:
                    way.direction.change(quality, now_ns)
        self.check()
        self.attach_missing()
        self._due.clear()
        for carried in self._carried.values():
            for way in carried.ways:
                self._expect(way)

    def check(self) -> None:
        """Let go of TAPs that are gone, and of namespaces that have lost their name."""
        for carried in self._carried.values():
            for end, tap in enumerate(carried.taps):
                if tap is not None and not self._is_attached(tap):
                    self._lose(carried, end, "gone")

    def attach_missing(self) -> None:
        """Try to attach to TAPs that were not there before."""
        for carried in self._carried.values():
            for end, (namespace, interface) in enumerate(places(carried.link)):
                if carried.taps[end] is None:
                    self._attach_end(carried, end, namespace, interface)

    def states(self) -> tuple[LinkState, ...]:
        """All links by name, as they are now."""
        return tuple(carried.state() for _, carried in sorted(self._carried.items()))

    def close(self) -> None:
        """Let go of everything."""
        for carried in list(self._carried.values()):
            self._drop(carried)

    def _attach_end(self, carried: Carried, end: int, namespace: str, interface: str) -> None:
        try:
            tap = self._attach(namespace, interface)
        except OSError as error:
            self._tell(carried, end, f"{namespace} {interface}: {error.strerror or error}")
            return
        carried.taps[end] = tap
        carried.ways[1 - end].sink = tap.descriptor
        self._sources[tap.descriptor] = carried, end
        self._epoll.register(tap.descriptor, select.EPOLLIN)
        self._tell(carried, end, "")

    def _lose(self, carried: Carried, end: int, why: str) -> None:
        tap = carried.taps[end]
        if tap is None:
            return
        carried.taps[end] = None
        carried.ways[1 - end].sink = NOWHERE
        del self._sources[tap.descriptor]
        self._epoll.unregister(tap.descriptor)
        relay_tap.detach(tap)
        self._tell(carried, end, f"{tap.namespace} {tap.interface}: {why}")

    def _drop(self, carried: Carried) -> None:
        for end in (0, 1):
            self._lose(carried, end, "not wanted")
        for way in carried.ways:
            way.direction.clear()
        del self._carried[carried.link.link]

    def _tell(self, carried: Carried, end: int, trouble: str) -> None:
        """Keep, and log once, why an end is not attached."""
        if carried.troubles[end] != trouble:
            carried.troubles[end] = trouble
            self._log(f"link {carried.link.link}: {trouble or 'attached again'}")


def places(link: RelayLink) -> tuple[tuple[str, str], tuple[str, str]]:
    """Namespace and interface of either end."""
    return (link.a_namespace, link.a_interface), (link.b_namespace, link.b_interface)


def _counters(direction: Direction) -> Counters:
    return Counters(packets=direction.packets, octets=direction.octets, dropped=direction.dropped)
