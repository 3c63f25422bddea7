"""A TAP device that the relay reads frames from and writes frames to.

The device exists already, persistent, in a node's network namespace (vct.drivers.wire makes it);
here it is only attached to. Standard library only: the relay process imports it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vct.paths import NAMESPACES

TUN_DEVICE = "/dev/net/tun"
CLONE_NEWNET = 0x40000000  # linux/sched.h
# linux/if_tun.h
TUNSETIFF, TUNGETIFF = 0x400454CA, 0x800454D2
IFF_TAP, IFF_NO_PI, IFF_PERSIST = 0x0002, 0x1000, 0x0800
SIOCGIFFLAGS = 0x8913  # linux/sockios.h
IFF_UP, IFF_RUNNING = 0x1, 0x40  # linux/if.h
CARRIER_TRIES = 1000  # of 1 ms
INTERFACE_REQUEST = struct.Struct("=16sH22x")  # ifreq: name, flags
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """One open TAP. `inode` identifies the namespace that it is in, whatever has its name now."""

    descriptor: int
    namespace: str
    interface: str
    inode: int


def interface_request(name: str) -> bytes:
    """The argument of TUNSETIFF for a TAP whose frames have no header before them."""
    return INTERFACE_REQUEST.pack(name.encode(), IFF_TAP | IFF_NO_PI)


def attach(namespace: str, interface: str) -> Tap:
    """Open a TAP that is there. Raises OSError when it, or its namespace, is not, or is in use."""
    inode = (NAMESPACES / namespace).stat().st_ino
    with _inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        socket.if_nametoindex(interface)
        descriptor = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # Where there is no device any more this makes one, which goes with its descriptor.
            fcntl.ioctl(descriptor, TUNSETIFF, interface_request(interface))
            _, flags = _name_and_flags(descriptor)
            if not flags & IFF_PERSIST:
                raise OSError(errno.ENODEV, f"there is no TAP {interface} in {namespace}")
            _wait_for_carrier(control, interface)
        except OSError:
            os.close(descriptor)
            raise
    return Tap(descriptor=descriptor, namespace=namespace, interface=interface, inode=inode)


def is_attached(tap: Tap) -> bool:
    """Whether the TAP is still there, under its name, in the namespace that has its name."""
    try:
        name, _ = _name_and_flags(tap.descriptor)
        here = (NAMESPACES / tap.namespace).stat().st_ino
    except OSError:
        return False
    return name == tap.interface and here == tap.inode


def detach(tap: Tap) -> None:
    """Close it: a namespace lives as long as a TAP in it is open."""
    os.close(tap.descriptor)


def _name_and_flags(descriptor: int) -> tuple[str, int]:
    answer = fcntl.ioctl(descriptor, TUNGETIFF, bytes(INTERFACE_REQUEST.size))
    name, flags = INTERFACE_REQUEST.unpack(answer)
    return name.rstrip(b"\0").decode(errors="replace"), flags


def _wait_for_carrier(control: socket.socket, interface: str) -> None:
    """The kernel drops what is sent until its own worker has seen that somebody is attached.

    That takes some microseconds, seldom 5 ms; an interface that is switched off is not waited for.
    """
    request = INTERFACE_REQUEST.pack(interface.encode(), 0)
    for _ in range(CARRIER_TRIES):
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, request)
        _, flags = INTERFACE_REQUEST.unpack(answer)
        if flags & IFF_RUNNING or not flags & IFF_UP:
            return
        time.sleep(0.001)


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """This thread in another network namespace, for a moment."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(here)
    finally:
        os.close(here)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
