"""The relay's links over socket pairs instead of TAPs: no root needed."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vct
from vct.drivers import process
from vct.drivers.relay_links import Links
from vct.drivers.relay_tap import Tap
from vct.plan.things import RelayLink
from vct.quality import UNSHAPED, Quality

MS = 1_000_000
LINK = RelayLink(
    link="l",
    a_namespace="n1",
    a_interface="eth1",
    b_namespace="n2",
    b_interface="eth1",
    forward=Quality(delay_us=10_000),
    backward=UNSHAPED,
)


class Bench:
    """Links whose TAPs are socket pairs: `far` is what a node's kernel would hold."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.lines: list[str] = []
        self.far: dict[str, socket.socket] = {}
        self.missing: set[str] = set()
        self.links = Links(
            self.epoll, self.lines.append, self._attach, lambda tap: tap.namespace in self.far
        )

    def _attach(self, namespace: str, interface: str) -> Tap:
        if namespace in self.missing:
            raise OSError("no interface with this name")
        near, self.far[namespace] = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        self.far[namespace].setblocking(False)
        return Tap(descriptor=near.detach(), namespace=namespace, interface=interface, inode=1)

    def remove(self, namespace: str) -> None:
        self.far.pop(namespace).close()

    def turn(self, now_ns: int) -> None:
        for descriptor, _ in self.epoll.poll(0):
            assert self.links.receive(descriptor, now_ns)
        self.links.deliver(now_ns)

    def got(self, namespace: str) -> list[bytes]:
        frames = []
        while True:
            try:
                frames.append(self.far[namespace].recv(2000))
            except BlockingIOError:
                return frames

    def troubles(self) -> list[str]:
        return [state.trouble for state in self.links.states()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.links.close()
    made.epoll.close()
    for far in made.far.values():
        far.close()


def test_it_works(bench: Bench) -> None:
    bench.links.set([LINK], 0)
    bench.far["n1"].send(b"there")
    bench.far["n2"].send(b"back")
    bench.turn(1 * MS)
    assert bench.got("n1") == [b"back"]
    assert bench.got("n2") == []
    assert bench.links.next_ns() == 11 * MS
    bench.turn(11 * MS)
    assert bench.got("n2") == [b"there"]
    assert bench.links.next_ns() is None


def test_a_frame_that_is_due_very_soon_goes_now(bench: Bench) -> None:
    bench.links.set([LINK], 0)
    bench.far["n1"].send(b"there")
    bench.turn(0)
    bench.turn(10 * MS - 15_000)
    assert bench.got("n2") == [b"there"]


def test_a_change_of_quality_keeps_what_is_under_way(bench: Bench) -> None:
    bench.links.set([LINK], 0)
    bench.far["n1"].send(b"there")
    bench.turn(0)
    bench.links.set([replace(LINK, forward=Quality(delay_us=1_000))], 2 * MS)
    assert bench.links.next_ns() == 3 * MS
    bench.turn(3 * MS)
    assert bench.got("n2") == [b"there"]


def test_links_are_told_sorted_with_what_passed(bench: Bench) -> None:
    other = replace(LINK, link="k", a_namespace="n3", b_namespace="n4")
    bench.links.set([LINK, other], 0)
    bench.far["n2"].send(b"12345")
    bench.turn(0)
    first, second = bench.links.states()
    assert (first.link.link, second.link.link) == ("k", "l")
    assert (second.backward.packets, second.backward.octets) == (1, 5)
    assert first.backward.packets == 0


def test_a_tap_that_is_missing_is_told_and_attached_later(bench: Bench) -> None:
    bench.missing.add("n2")
    bench.links.set([LINK], 0)
    assert bench.troubles() == ["n2 eth1: no interface with this name"]
    bench.missing.clear()
    bench.links.attach_missing()
    assert bench.troubles() == [""]
    assert bench.lines == ["link l: n2 eth1: no interface with this name", "link l: attached again"]


def test_a_tap_that_goes_is_told_and_frames_for_it_are_dropped(bench: Bench) -> None:
    bench.links.set([LINK], 0)
    bench.remove("n2")
    bench.links.check()
    assert bench.troubles() == ["n2 eth1: gone"]
    bench.far["n1"].send(b"there")
    bench.turn(0)
    bench.turn(10 * MS)
    assert bench.links.states()[0].forward.dropped == 1


def test_the_same_trouble_is_logged_once(bench: Bench) -> None:
    bench.missing.add("n1")
    bench.links.set([LINK], 0)
    bench.links.attach_missing()
    bench.links.attach_missing()
    assert len(bench.lines) == 1


def test_a_link_that_moves_to_another_interface_is_attached_there(bench: Bench) -> None:
    bench.links.set([LINK], 0)
    bench.links.set([replace(LINK, b_namespace="n9")], 0)
    bench.far["n9"].send(b"back")
    bench.turn(0)
    assert bench.got("n1") == [b"back"]


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        bench.links.set([replace(LINK, link=f"l{number}")], 0)
        bench.links.set([], 0)
        for namespace in list(bench.far):
            bench.remove(namespace)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_relay_process_imports_little() -> None:
    heavy = ("plumbum", "pydantic", "pyroute2", "yaml", "click", "rich", "asyncio", "subprocess")
    program = (
        "import sys, vct.drivers.relay_process\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(Path(vct.__file__).parent.parent)}
    argv = [sys.executable, "-S", "-c", program]
    assert process.run(argv, env=environment).stdout == "[]\n"
