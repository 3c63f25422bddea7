"""Tinc daemons in network namespaces that have no name: nothing of them is on the host.

A namespace lives as long as the process that was started in it; the daemons' files are below one
directory. Traffic goes over links between these namespaces only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vct.wire import tinc

PATIENCE_S = 30.0
PORT = 9  # nobody listens there: who is reached refuses
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A namespace, by the process that keeps it."""

    pid: int

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def run(self, *argv: str) -> None:
        subprocess.run(self.command(*argv), check=True, capture_output=True)

    def reaches(self, address: IPv6Address) -> bool:
        argv = self.command(sys.executable, "-I", "-S", "-c", CONNECT, str(address), str(PORT))
        ended = subprocess.run(argv, capture_output=True, text=True)
        return "ConnectionRefusedError" in ended.stderr

    def reaches_in_time(self, address: IPv6Address) -> bool:
        end = time.monotonic() + PATIENCE_S
        while not self.reaches(address):
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """The first has a link to each other: 192.0.2.N*4+1 there, +2 at the other end."""
    with ExitStack() as undo:
        made = [undo.enter_context(_machine()) for _ in range(count)]
        for number, other in enumerate(made[1:], 1):
            here, there = f"eth{number}", "eth0"
            made[0].run(
                *("ip", "link", "add", here, "type", "veth"),
                *("peer", "name", there, "netns", str(other.pid)),
            )
            for machine, name, last in ((made[0], here, 1), (other, there, 2)):
                machine.run("ip", "address", "add", f"{place(number, last)}/30", "dev", name)
                machine.run("ip", "link", "set", "dev", name, "up")
        yield made


def place(number: int, last: int) -> str:
    """The address of the first machine (1) or the other (2) on the link to machine `number`."""
    return f"192.0.2.{number * 4 + last}"


@contextmanager
def _machine() -> Iterator[Machine]:
    own = Path("/proc/self/ns/net").readlink()
    keeper = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    try:
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{keeper.pid}/ns/net").readlink() == own:
            assert time.monotonic() < end
            time.sleep(0.01)
        machine = Machine(pid=keeper.pid)
        machine.run("ip", "link", "set", "dev", "lo", "up")
        yield machine
    finally:
        keeper.kill()
        keeper.wait()


def new_key(directory: Path) -> str:
    """Makes the directory with a private key of its own; the public one in PEM."""
    (directory / "hosts").mkdir(parents=True)
    key = generate_private_key(public_exponent=65537, key_size=2048)
    file = directory / "rsa_key.priv"
    file.touch(0o600)
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@contextmanager
def daemon(
    machine: Machine,
    directory: Path,
    address: IPv6Address,
    *,
    name: str,
    connect_to: Sequence[str] = (),
    strict: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A tincd in the machine, with the files that vct renders beside its key and hosts."""
    conf = tinc.Conf(name=name, connect_to=tuple(connect_to), strict=strict)
    (directory / "tinc.conf").write_text(tinc.render_conf(conf))
    for script, text in (("up", tinc.render_up(address)), ("down", tinc.render_down(address))):
        (directory / f"tinc-{script}").write_text(text)
        (directory / f"tinc-{script}").chmod(0o755)
    argv = ["tincd", "-D", "-d", "2", "-c", str(directory), f"--pidfile={directory}/pid"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(machine.command(*argv), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for_words(log: Path, words: str) -> None:
    """Until a daemon has said that."""
    end = time.monotonic() + PATIENCE_S
    while words not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
