"""Two namespaces with one link between them, for tests of what links do to packets.

Everything is made under a random name and removed again; traffic stays between the two.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from vct.drivers import netns, process

PORT = 5555
INTERFACE = "eth1"
ADDRESSES = ("192.0.2.1", "192.0.2.2")
MACS = ("52:54:00:01:00:01", "52:54:00:01:00:02")
LIMIT_S = 5
QUIET_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A link's two ends: namespace a and namespace b, each with an interface eth1.

    It is also what the shaping driver asks for a testbed's nodes.
    """

    testbed: str
    a: str
    b: str
    link: str = "0001-0002"

    def node_namespaces(self) -> dict[str, str]:
        return {"0001": self.a, "0002": self.b}


@contextmanager
def linked_pair(device: str) -> Iterator[Pair]:
    """A pair with a marked link of two veths or two persistent TAPs."""
    name = f"vcttest-{secrets.token_hex(3)}"
    pair = Pair(testbed=name, a=f"{name}-a", b=f"{name}-b")
    with ExitStack() as undo:
        for namespace in (pair.a, pair.b):
            process.run(["ip", "netns", "add", namespace])
            undo.callback(process.run, ["ip", "netns", "del", namespace], check=False)
        if device == "veth":
            ip(pair.a, f"link add name {INTERFACE} type veth peer name {INTERFACE} netns {pair.b}")
        else:
            make_tap(pair.a)
            make_tap(pair.b)
        bring_up(pair, 0)
        bring_up(pair, 1)
        yield pair


def ip(namespace: str, *commands: str) -> None:
    """Run commands of the program ip inside a namespace."""
    process.run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(commands) + "\n")


def tc(namespace: str, command: str, *more: str) -> str:
    """Run a command of the program tc inside a namespace; `more` are whole arguments."""
    return process.run(["tc", "-n", namespace, *command.split(), *more]).stdout


def make_tap(namespace: str) -> None:
    ip(namespace, f"tuntap add mode tap name {INTERFACE}")


def bring_up(pair: Pair, end: int) -> None:
    """Mark one end and give it its addresses; neighbours are fixed, so that no ARP gets lost."""
    own, other = end, 1 - end
    ip(
        (pair.a, pair.b)[end],
        f"link set dev {INTERFACE} address {MACS[own]} "
        f"alias vct:{pair.testbed}:link:{pair.link}:{'ab'[end]}",
        f"link set dev {INTERFACE} up",
        f"addr add {ADDRESSES[own]}/24 dev {INTERFACE}",
        f"neigh replace {ADDRESSES[other]} lladdr {MACS[other]} dev {INTERFACE} nud permanent",
    )


@contextmanager
def sockets(pair: Pair) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A UDP socket at either end, connected to each other."""
    with ExitStack() as undo:
        made = []
        for end, namespace in enumerate((pair.a, pair.b)):
            with netns.entered(namespace):
                udp = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            udp.bind((ADDRESSES[end], PORT))
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@qq", LIMIT_S, 0))
            made.append(udp)
        made[0].connect((ADDRESSES[1], PORT))
        made[1].connect((ADDRESSES[0], PORT))
        yield made[0], made[1]


def one_way_ms(sender: socket.socket, receiver: socket.socket, tries: int = 10) -> float:
    """The shortest of some ways from one end to the other."""
    times = []
    for number in range(tries):
        message = f"{number}".encode()
        start = time.perf_counter()
        sender.send(message)
        while receiver.recv(100) != message:
            pass
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def received(sender: socket.socket, receiver: socket.socket, count: int) -> int:
    """How many of `count` small packets arrive.

    They are sent a few at a time: a TAP's queue holds 500 while whoever reads it has to wait for
    the processor. None that is still missing comes when none came for QUIET_S.
    """
    arrived = 0
    for sent in range(1, count + 1):
        sender.send(b"x" * 100)
        quiet_s = QUIET_S if sent == count else 0.05 if sent % 100 == 0 else 0
        while arrived < sent and select.select([receiver], [], [], quiet_s)[0]:
            arrived += _drain(receiver)
    return arrived


def rate_mbit(sender: socket.socket, receiver: socket.socket, length_s: float = 1.0) -> float:
    """What arrives of more than fits, in Mbit/s of Ethernet frames."""
    octets, first_s, now_s, frame = 0, 0.0, 0.0, 1000
    end_s = time.perf_counter() + length_s
    while time.perf_counter() < end_s:
        with suppress(BlockingIOError, OSError):
            sender.send(b"x" * frame, socket.MSG_DONTWAIT)
        count = _drain(receiver)
        if count:
            now_s = time.perf_counter()
            if not first_s:
                first_s = now_s
            else:
                octets += count * (frame + 42)  # UDP, IP and Ethernet headers
    return octets * 8 / (now_s - first_s) / 1e6


def _drain(receiver: socket.socket) -> int:
    count = 0
    with suppress(BlockingIOError):
        while True:
            receiver.recv(2000, socket.MSG_DONTWAIT)
            count += 1
    return count
