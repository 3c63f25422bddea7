"""Pings many IPv6 addresses at once, without a program for it: ICMPv6 echo (RFC 4443, section 4).

One thread and one raw socket, from inside the namespace that reaches them.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Collection
from ipaddress import IPv6Address

from vct.drivers import netns

REQUEST, REPLY = 128, 129
HEADER = struct.Struct("!BBHHH")  # type, code, checksum (the kernel's), identifier, number
ROUNDS = 2  # the first also finds the way
TIMEOUT_S = 2.0


def ping(
    namespace: str, addresses: Collection[str], timeout_s: float = TIMEOUT_S
) -> dict[str, float]:
    """Round trips in milliseconds of those that answer, by address."""
    with (
        netns.entered(namespace),
        socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw,
    ):
        found: dict[str, float] = {}
        for number in range(ROUNDS):
            found |= _round(raw, addresses, number, timeout_s)
    return found


def _round(
    raw: socket.socket, addresses: Collection[str], number: int, timeout_s: float
) -> dict[str, float]:
    identifier = os.getpid() & 0xFFFF
    question = HEADER.pack(REQUEST, 0, 0, identifier, number)
    sent: dict[IPv6Address, tuple[str, float]] = {}
    for address in addresses:
        sent[IPv6Address(address)] = (address, time.monotonic())
        try:
            raw.sendto(question, (address, 0))
        except OSError:  # no route: as good as no answer
            del sent[IPv6Address(address)]
    found = {}
    deadline = time.monotonic() + timeout_s
    while sent and select.select([raw], [], [], max(0, deadline - time.monotonic()))[0]:
        answer, (source, *_) = raw.recvfrom(2048)
        now, place = time.monotonic(), IPv6Address(source.partition("%")[0])
        if place in sent and is_reply(answer, identifier, number):
            address, began = sent.pop(place)
            found[address] = (now - began) * 1000
    return found


def is_reply(answer: bytes, identifier: int, number: int) -> bool:
    """Whether an ICMPv6 message answers one of these questions: the socket hears others, too."""
    if len(answer) < HEADER.size:
        return False
    kind, _code, _sum, whose, which = HEADER.unpack_from(answer)
    return (kind, whose, which) == (REPLY, identifier, number)
