"""Just enough rtnetlink for shaping: one raw socket, requests, dumps, attributes.

pyroute2 is what the other drivers use; here it is left out on purpose. It rounds what it encodes
and decodes (rates, probabilities, times), and opening its socket costs 1 ms per namespace where
this one costs 0.03 ms, twice for each shaped direction. Only vct.drivers.shaping calls it.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from types import TracebackType

# linux/netlink.h
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_DUMP_INTR = 0x10
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NETLINK_CAP_ACK = 10  # answers to a request do not repeat it
SOL_NETLINK = 270
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
BUFFER = 65536
DUMP_TRIES = 5


class Netlink:
    """A netlink socket of the network namespace in which it was made, wherever it is used."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def change(self, request: int, flags: int, body: bytes) -> None:
        """Ask for one change. Raises OSError with the kernel's errno."""
        self._send(request, NLM_F_ACK | flags, body)
        for _ in self._answers():
            pass

    def dump(self, request: int, body: bytes) -> list[bytes]:
        """The payloads of all messages of a dump, taken again if it was disturbed by a change."""
        for _ in range(DUMP_TRIES):
            self._send(request, NLM_F_DUMP, body)
            answers = list(self._answers())
            if not any(flags & NLM_F_DUMP_INTR for flags, _ in answers):
                break
        return [payload for _, payload in answers]

    def _send(self, request: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        length = HEADER.size + len(body)
        header = HEADER.pack(length, request, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        """Flags and payload of each answer, up to the message that ends them."""
        while True:
            data = self._socket.recv(BUFFER)
            while data:
                length, kind, flags, sequence, _ = HEADER.unpack_from(data)
                payload, data = data[HEADER.size : length], data[aligned(length) :]
                if sequence != self._sequence:
                    continue  # the rest of an answer that nobody waited for
                if kind in (NLMSG_ERROR, NLMSG_DONE):
                    code = (
                        -int.from_bytes(payload[:4], sys.byteorder, signed=True) if payload else 0
                    )
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield flags, payload


def aligned(length: int) -> int:
    """Netlink pads everything to four octets."""
    return (length + 3) & ~3


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = ATTRIBUTE.size + len(payload)
    return (ATTRIBUTE.pack(length, kind) + payload).ljust(aligned(length), b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by type."""
    found = {}
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            break
        found[kind & KIND_MASK] = data[offset + ATTRIBUTE.size : offset + length]
        offset += aligned(length)
    return found


def text(payload: bytes) -> str:
    """An attribute that is a zero-ended string."""
    return payload.rstrip(b"\0").decode(errors="replace")
