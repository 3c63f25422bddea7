"""Netlink's octets: messages, attributes and the kernel's answers, to bytes and back. Pure.

Knows the framing that all of netlink has in common (linux/netlink.h, netlink(7)), not what any
message means. Every layout has explicit sizes, so 32-bit hosts are no different. What comes in is
checked before it is believed. Used by the rest of vct.drivers.rtnetlink and by vct.drivers.shaping.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_DUMP_INTR = 0x10
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
# Flags and attributes of an error: the request is not repeated in it; words follow.
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1
ERROR_CODE_SIZE = 4


class NetlinkError(OSError):
    """The kernel's answer to a request: `errno`, and words that say what was asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask of the kernel: a message type, flags beside the usual ones, a body.

    `what` says for errors what it was for. Errors listed in `harmless` are none.
    """

    kind: int
    flags: int
    body: bytes
    what: str
    harmless: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the kernel's, without its header."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def malformed(what: str) -> NetlinkError:
    """An error for octets that no kernel should send."""
    return NetlinkError(errno.EBADMSG, f"the kernel's netlink answer has {what}")


def aligned(length: int) -> int:
    """Netlink pads everything to four octets."""
    return (length + 3) & ~3


# --- to bytes ------------------------------------------------------------------------------------


def render_message(request: Request, flags: int, sequence: int) -> bytes:
    """A request with its header, padded so that another one may follow."""
    length = HEADER.size + len(request.body)
    flags |= NLM_F_REQUEST | request.flags
    message = HEADER.pack(length, request.kind, flags, sequence, 0) + request.body
    return message.ljust(aligned(length), b"\0")


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded. Those inside of it are a payload of such attributes."""
    length = ATTRIBUTE.size + len(payload)
    return (ATTRIBUTE.pack(length, kind) + payload).ljust(aligned(length), b"\0")


def text_attribute(kind: int, words: str) -> bytes:
    """An attribute that is a zero-ended string."""
    return attribute(kind, words.encode() + b"\0")


def number_attribute(kind: int, number: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return attribute(kind, struct.pack("=I", number))


# --- and back ------------------------------------------------------------------------------------


def parse_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. Raises NetlinkError when their lengths make no sense."""
    if not data:
        raise malformed("nothing in it")
    offset = 0
    while offset < len(data):
        if offset + HEADER.size > len(data):
            raise malformed("half a header")
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > len(data):
            raise malformed(f"a message of {length} octets in {len(data) - offset}")
        payload = data[offset + HEADER.size : offset + length]
        yield Message(kind, flags, sequence, payload)
        offset += aligned(length)


def parse_error(message: Message) -> tuple[int, str]:
    """The errno (0: all went well) and the kernel's own words, if any, of an NLMSG_ERROR or
    NLMSG_DONE."""
    payload = message.payload
    code = -int.from_bytes(payload[:ERROR_CODE_SIZE], sys.byteorder, signed=True)
    if not message.flags & NLM_F_ACK_TLVS:
        return code, ""
    offset = ERROR_CODE_SIZE
    if message.kind == NLMSG_ERROR:  # the request's header comes first, or all of it
        repeated = number(payload[offset : offset + ERROR_CODE_SIZE])
        capped = message.flags & NLM_F_CAPPED
        offset += HEADER.size if capped else aligned(max(repeated, HEADER.size))
    return code, text(attributes(payload[offset:]).get(NLMSGERR_ATTR_MSG, b""))


def answered_error(message: Message, request: Request) -> NetlinkError | None:
    """What went wrong with a request; None if nothing that matters did."""
    code, words = parse_error(message)
    if not code or code in request.harmless:
        return None
    said = f"{os.strerror(code)} ({words.rstrip('.')})" if words else os.strerror(code)
    return NetlinkError(code, f"{request.what}: {said}")


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by type."""
    found = {}
    offset, end = 0, len(data) - ATTRIBUTE.size
    while offset <= end:
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            break
        found[kind & KIND_MASK] = data[offset + ATTRIBUTE.size : offset + length]
        offset += aligned(length)
    return found


def head(layout: struct.Struct, payload: bytes) -> tuple[int, ...]:
    """The fixed fields that a message begins with. Raises NetlinkError if it is too short."""
    if len(payload) < layout.size:
        raise malformed(f"{len(payload)} octets where {layout.size} belong")
    return layout.unpack_from(payload)


def text(payload: bytes) -> str:
    """An attribute that is a zero-ended string."""
    return payload.rstrip(b"\0").decode(errors="replace")


def number(payload: bytes) -> int:
    """An attribute that is an unsigned number; 0 when it is missing."""
    return int.from_bytes(payload, sys.byteorder)
