"""A piece of outside world: a namespace that is joined to the host by a veth pair, nothing more.

Its addresses are of a documentation network (RFC 5737), the host's default route is not touched,
and a program in it answers each UDP packet with the address that it came from.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from vct.drivers import process

PORT = 7007
ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    text, place = server.recvfrom(2000)
    server.sendto(text.strip() + b" from " + place[0].encode() + b"\\n", place)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """`address` and `port` answer; `host_address` is the host's on the wire to here."""

    namespace: str
    interface: str
    address: str = "198.51.100.2"
    host_address: str = "198.51.100.1"
    port: int = PORT

    def way_of_answer(self, address: str) -> str:
        """The host's interface by which it would pass on a packet from here to an address."""
        route = process.run(
            ["ip", "route", "get", address, "from", self.address, "iif", self.interface],
            check=False,
        )
        words = route.stdout.split()
        return words[words.index("dev") + 1] if "dev" in words else ""


@contextmanager
def outside() -> Iterator[Outside]:
    """Make it for the length of the block."""
    name = secrets.token_hex(3)
    world = Outside(namespace=f"outside-{name}", interface=f"out{name}")
    inside = ["ip", "netns", "exec", world.namespace]
    with ExitStack() as undo:
        process.run(["ip", "netns", "add", world.namespace])
        undo.callback(process.run, ["ip", "netns", "del", world.namespace])
        pair = ["name", world.interface, "type", "veth", "peer", "name", "out"]
        process.run(["ip", "link", "add", *pair, "netns", world.namespace])
        process.run(["ip", "addr", "add", f"{world.host_address}/30", "dev", world.interface])
        process.run(["ip", "link", "set", "dev", world.interface, "up"])
        process.run([*inside, "ip", "addr", "add", f"{world.address}/30", "dev", "out"])
        process.run([*inside, "ip", "link", "set", "dev", "out", "up"])
        server = process.start(
            [*inside, sys.executable, "-c", ECHO, world.address, str(world.port)],
            stdout=process.PIPE,
        )
        undo.callback(server.wait)
        undo.callback(server.kill)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield world
