"""The socket to the kernel, with a kernel that says what the test wants."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vct.drivers import rtnetlink
from vct.drivers.rtnetlink import BUFFER, DUMP_TRIES, MOST_AT_ONCE, Netlink
from vct.drivers.rtnetlink_codec import (
    HEADER,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    NetlinkError,
    Request,
    parse_messages,
)

OTHER = 16  # a message type that ends nothing


class Kernel:
    """The other end of a socket: what it will say is put there before it is asked."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.netlink = Netlink(ours)

    def close(self) -> None:
        self._theirs.close()

    def says(self, *messages: bytes) -> None:
        """One datagram."""
        self._theirs.send(b"".join(messages))

    def falls_silent(self) -> None:
        """Nothing comes after what was said."""
        self._theirs.shutdown(socket.SHUT_WR)

    def asked(self) -> list[bytes]:
        """The bodies of the requests of one datagram."""
        return [message.payload for message in parse_messages(self._theirs.recv(BUFFER))]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    with kernel.netlink:
        yield kernel
    kernel.close()


def message(kind: int, sequence: int, payload: bytes = b"", flags: int = 0) -> bytes:
    data = HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload
    return data.ljust(len(data) + -len(data) % 4, b"\0")


def acknowledged(sequence: int, code: int = 0) -> bytes:
    return message(NLMSG_ERROR, sequence, (-code).to_bytes(4, sys.byteorder, signed=True))


def done(sequence: int, flags: int = 0) -> bytes:
    return message(NLMSG_DONE, sequence, bytes(4), flags)


def request(body: str) -> Request:
    return Request(OTHER, 0, body.encode(), body)


LIST = request("list")


def test_it_works(kernel: Kernel) -> None:
    kernel.says(acknowledged(1), acknowledged(2))
    kernel.netlink.do(request("one"), request("two"))
    assert kernel.asked() == [b"one", b"two"]


def test_each_error_is_told_with_what_it_was_for(kernel: Kernel) -> None:
    kernel.says(acknowledged(1), acknowledged(2, errno.EEXIST))
    kernel.says(acknowledged(3, errno.EPERM))
    answers = kernel.netlink.ask([request("one"), request("two"), request("three")])
    assert [str(answer.error and answer.error.strerror) for answer in answers] == [
        "None",
        "two: File exists",
        "three: Operation not permitted",
    ]


def test_the_first_error_is_raised_when_all_is_answered(kernel: Kernel) -> None:
    kernel.says(acknowledged(1, errno.EEXIST), acknowledged(2, errno.EPERM), acknowledged(3))
    with pytest.raises(NetlinkError, match="one: File exists"):
        kernel.netlink.do(request("one"), request("two"), request("three"))
    kernel.says(acknowledged(4))
    kernel.netlink.do(request("four"))


def test_what_is_told_belongs_to_the_request_with_its_number(kernel: Kernel) -> None:
    kernel.says(acknowledged(1), message(OTHER, 2, b"eth1"), acknowledged(2))
    assert kernel.netlink.do(request("set"), request("get")) == [b"", b"eth1"]


def test_more_than_fits_in_one_go_is_sent_in_several(kernel: Kernel) -> None:
    count = MOST_AT_ONCE + 1
    kernel.says(*(acknowledged(number) for number in range(1, MOST_AT_ONCE + 1)))
    kernel.says(acknowledged(count))
    assert len(kernel.netlink.ask([request(f"{number}") for number in range(count)])) == count
    assert [len(kernel.asked()), len(kernel.asked())] == [MOST_AT_ONCE, 1]


def test_the_rest_of_an_older_answer_is_passed_over(kernel: Kernel) -> None:
    kernel.says(acknowledged(0, errno.EPERM), acknowledged(77, errno.EPERM), acknowledged(1))
    kernel.netlink.do(request("one"))
    kernel.says(message(OTHER, 1, b"old"), message(OTHER, 2, b"new"), done(2))
    assert kernel.netlink.dump(LIST) == [b"new"]


def test_a_dump_comes_in_parts(kernel: Kernel) -> None:
    kernel.says(message(OTHER, 1, b"a"), message(OTHER, 1, b"b"))
    kernel.says(message(OTHER, 1, b"c"))
    kernel.says(done(1))
    assert kernel.netlink.dump(LIST) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("part", [message(OTHER, 1, b"old", NLM_F_DUMP_INTR), b""])
def test_a_dump_that_was_disturbed_is_taken_again(kernel: Kernel, part: bytes) -> None:
    kernel.says(part, done(1, NLM_F_DUMP_INTR))
    kernel.says(message(OTHER, 2, b"new"), done(2))
    assert kernel.netlink.dump(LIST) == [b"new"]


def test_a_dump_that_is_always_disturbed_is_an_error(kernel: Kernel) -> None:
    for number in range(1, DUMP_TRIES + 1):
        kernel.says(done(number, NLM_F_DUMP_INTR))
    with pytest.raises(NetlinkError, match="list: it changes all the time"):
        kernel.netlink.dump(LIST)


def test_a_dump_that_is_refused_is_an_error(kernel: Kernel) -> None:
    kernel.says(acknowledged(1, errno.EOPNOTSUPP))
    with pytest.raises(NetlinkError, match="list: Operation not supported"):
        kernel.netlink.dump(LIST)


def test_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtnetlink, "LIMIT_S", 0.01)
    silent = Kernel()
    with silent.netlink, pytest.raises(NetlinkError, match="did not answer"):
        silent.netlink.do(request("one"))
    silent.close()


def test_talk_that_never_ends_is_an_error(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.says(message(OTHER, 99))
    monkeypatch.setattr(rtnetlink, "LIMIT_S", -1)
    with pytest.raises(NetlinkError, match="did not answer"):
        kernel.netlink.do(request("one"))


def test_more_than_the_buffer_holds_is_an_error(kernel: Kernel) -> None:
    kernel.says(message(OTHER, 1, bytes(BUFFER)))
    with pytest.raises(NetlinkError, match=f"more than {BUFFER} octets"):
        kernel.netlink.dump(LIST)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=80), max_size=4), st.booleans())
def test_whatever_the_kernel_says_nobody_hangs(datagrams: list[bytes], dump: bool) -> None:
    kernel = Kernel()
    for datagram in datagrams:
        kernel.says(datagram)
    kernel.falls_silent()
    with kernel.netlink as netlink, suppress(NetlinkError):
        netlink.dump(LIST) if dump else netlink.do(LIST)
    kernel.close()
