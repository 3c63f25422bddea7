"""A socket to the kernel's routing half: many requests in one go, each with an answer of its own.

Every request asks for an acknowledgement and is matched with it by its sequence number, so an error
is told with what it was for, whatever else was in the same go. What the messages mean is in
vct.drivers.rtnetlink_messages and vct.drivers.shaping_kernel; why this is not a library, in
docs/decisions/0007. Not for several threads at once.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from vct.drivers.rtnetlink_codec import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    NetlinkError,
    Request,
    answered_error,
    malformed,
    parse_messages,
    render_message,
)

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11  # answers without the request, but with words
BUFFER = 1 << 16  # the kernel fills at most 32 KiB at once
# So many answers surely fit into a socket's default buffer (208 KiB) while nobody reads: the kernel
# counts up to 4 KiB for an interface, 1 KiB for an acknowledgement.
MOST_AT_ONCE = 32
DUMP_TRIES = 10
LIMIT_S = 10.0  # the kernel answers while it is being asked


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request: what it was told, and what went wrong."""

    payload: bytes
    error: NetlinkError | None


class Netlink:
    """A socket of the network namespace in which it was made, wherever it is used."""

    def __init__(self, opened: socket.socket | None = None) -> None:
        self._socket = opened or _open()
        self._socket.settimeout(LIMIT_S)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def do(self, *requests: Request) -> list[bytes]:
        """Ask, in this order, and give what was told. The kernel goes on after one that failed;
        then the first error is raised."""
        answers = self.ask(requests)
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return [answer.payload for answer in answers]

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Ask all, in this order; one answer for each. Raises NetlinkError only when the kernel
        cannot be understood."""
        answers: list[Answer] = []
        for start in range(0, len(requests), MOST_AT_ONCE):
            answers += self._ask(requests[start : start + MOST_AT_ONCE])
        return answers

    def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        first = self._send(requests, NLM_F_ACK)
        told: dict[int, bytes] = {}
        answers: dict[int, Answer] = {}
        for message in self._messages():
            place = message.sequence - first
            if not 0 <= place < len(requests):
                continue  # the rest of an answer that nobody waited for
            if message.kind == NLMSG_ERROR:
                error = answered_error(message, requests[place])
                answers[place] = Answer(told.get(place, b""), error)
                if len(answers) == len(requests):
                    break
            else:
                told[place] = message.payload
        return [answers[place] for place in range(len(requests))]

    def dump(self, request: Request) -> list[bytes]:
        """All that the kernel has of a kind, taken again when a change came in between."""
        for _ in range(DUMP_TRIES):
            payloads, disturbed = self._dump(request)
            if not disturbed:
                return payloads
        raise NetlinkError(errno.EAGAIN, f"{request.what}: it changes all the time")

    def _dump(self, request: Request) -> tuple[list[bytes], bool]:
        sequence = self._send([request], NLM_F_DUMP)
        payloads, disturbed = [], False
        for message in self._messages():
            if message.sequence != sequence:
                continue
            disturbed = disturbed or bool(message.flags & NLM_F_DUMP_INTR)
            if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                error = answered_error(message, request)
                if error is not None:
                    raise error
                break
            payloads.append(message.payload)
        return payloads, disturbed

    def _send(self, requests: Sequence[Request], flags: int) -> int:
        """Send all in one datagram; returns the first one's sequence number."""
        first = self._sequence + 1
        self._sequence += len(requests)
        numbered = enumerate(requests, first)
        self._socket.send(
            b"".join(render_message(each, flags, number) for number, each in numbered)
        )
        return first

    def _messages(self) -> Iterator[Message]:
        """What comes in, until nobody asks for more."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                data, _, flags, _ = self._socket.recvmsg(BUFFER)
            except TimeoutError:
                data, flags = b"", 0
            if not data or time.monotonic() > deadline:
                raise NetlinkError(errno.ETIMEDOUT, "the kernel did not answer a netlink request")
            if flags & socket.MSG_TRUNC:
                raise malformed(f"more than {BUFFER} octets")
            yield from parse_messages(data)


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
        opened.setsockopt(SOL_NETLINK, option, 1)
    opened.connect((0, 0))  # to the kernel: nobody else's messages are let in
    return opened
