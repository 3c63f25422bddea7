"""What the agent sees of its own node: machine, interfaces, addresses, memory, disk, own keys.

Reads only. What does not change while a system runs is read once. Called at the start of a cycle.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fcntl import ioctl
from functools import cache
from pathlib import Path

from vct.agent.places import Places, read
from vct.wire import firmware
from vct.wire.tinc import host_name, parse_host

SIOCGIFADDR = 0x8915  # linux/sockios.h
MIB = 1 << 20


@dataclass(frozen=True)
class Seen:
    """A node as it is now. `addresses` are IPv4 and IPv6 by interface, in the kernel's order.

    `cert` is "" without one; `tinc_key` is PEM, "" when there is none or it cannot be read.
    """

    arch: str = ""
    boot: str = ""
    interfaces: frozenset[str] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    macs: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int = 0
    disk_free_mib: int = 0
    cert: str = ""
    tinc_key: str = ""
    soft_version: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


def see(places: Places, node: int) -> Seen:
    """Raises OSError when the node's own files cannot be read."""
    links = frozenset(path.name for path in (places.sys / "class/net").iterdir())
    return Seen(
        arch=os.uname().machine,
        boot=read(places.boot).strip(),
        interfaces=links,
        addresses=_addresses(places, links),
        macs={link: read(places.sys / "class/net" / link / "address").strip() for link in links},
        memory_mib=_memory_mib(places.proc),
        disk_free_mib=_disk_free_mib(places.persist),
        cert=_text(places.firmware / firmware.API_CERT),
        tinc_key=_tinc_key(places.firmware / firmware.TINC_HOSTS / host_name("node", node)),
        soft_version=read(places.version).strip(),
        properties=_properties(places.proc),
    )


def _text(path: Path) -> str:
    try:
        return read(path)
    except ValueError:
        return ""


def _tinc_key(path: Path) -> str:
    try:
        return parse_host(read(path)).pubkey
    except ValueError:
        return ""


def _addresses(places: Places, links: frozenset[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {link: _ipv4(link) for link in sorted(links)}
    for line in read(places.proc / "net/if_inet6").splitlines():
        digits, _, _, _, _, link = line.split()
        address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
        found.setdefault(link, []).append(address)
    return {link: tuple(addresses) for link, addresses in found.items()}


def _ipv4(link: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = ioctl(sock, SIOCGIFADDR, struct.pack("256s", link.encode()[:15]))
        except OSError:  # it has none
            return []
    return [socket.inet_ntoa(answer[20:24])]


def _memory_mib(proc: Path) -> int:
    for line in read(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def _disk_free_mib(directory: Path) -> int:
    """Of the disk that slivers will be on: the node's writable one."""
    while not directory.exists():
        directory = directory.parent
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize // MIB


@cache
def _properties(proc: Path) -> dict[str, str]:
    """The original's names; the values are text."""
    lines = read(proc / "cpuinfo").splitlines()
    cpu = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    found = {
        "hw_cpu_model": cpu.get("model name", ""),
        "hw_cpu_num_cores": str(os.cpu_count() or ""),
        "hw_cpu_speed_MHz": cpu.get("cpu MHz", ""),
        "hw_mem_total_MiB": str(_memory_mib(proc)),
    }
    return {name: value for name, value in found.items() if value}
