"""Netlink's framing: what is rendered can be parsed, what is malformed is refused or left out."""

from __future__ import annotations

import errno
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.rtnetlink_codec import (
    HEADER,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
    Message,
    NetlinkError,
    Request,
    answered_error,
    attribute,
    attributes,
    head,
    number,
    number_attribute,
    parse_error,
    parse_messages,
    render_message,
    text,
    text_attribute,
)

ASKED = Request(20, 0, b"body", "give address 10.0.0.1/24")
NO_DEVICE = (
    "400000000200000302000000146f0000edffffff28000000140005050200000000000000"
    "1b000100697076343a20446576696365206e6f7420666f756e640000"
)


def refused(code: int) -> bytes:
    return (-code).to_bytes(4, sys.byteorder, signed=True)


def test_it_works() -> None:
    (message,) = parse_messages(bytes.fromhex(NO_DEVICE))
    error = answered_error(message, ASKED)
    assert error is not None
    assert error.errno == errno.ENODEV
    assert str(error.strerror) == (
        "give address 10.0.0.1/24: No such device (ipv4: Device not found)"
    )


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5))
def test_requests_in_one_datagram_are_told_apart(bodies: list[bytes]) -> None:
    requests = [Request(16, 0x400, body, "") for body in bodies]
    data = b"".join(render_message(each, 4, number) for number, each in enumerate(requests, 7))
    wanted = [Message(16, NLM_F_REQUEST | 0x404, 7 + at, body) for at, body in enumerate(bodies)]
    assert list(parse_messages(data)) == wanted


def test_an_answer_without_words_says_what_the_system_says() -> None:
    error = answered_error(Message(NLMSG_ERROR, 0, 1, refused(errno.EEXIST)), ASKED)
    assert str(error) == "[Errno 17] give address 10.0.0.1/24: File exists"


def test_no_error_and_a_harmless_one_are_none() -> None:
    gone = Request(17, 0, b"", "remove", harmless=(errno.ENODEV,))
    assert answered_error(Message(NLMSG_ERROR, 0, 1, bytes(4)), ASKED) is None
    assert answered_error(Message(NLMSG_ERROR, 0, 1, refused(errno.ENODEV)), gone) is None


@pytest.mark.parametrize(
    ("kind", "flags", "between"),
    [
        (NLMSG_ERROR, NLM_F_CAPPED, HEADER.pack(99, 0, 0, 0, 0)),
        (NLMSG_ERROR, 0, HEADER.pack(HEADER.size + 5, 0, 0, 0, 0) + b"12345678"),
        (NLMSG_DONE, 0, b""),
    ],
)
def test_the_kernels_words_are_found_behind_what_comes_first(
    kind: int, flags: int, between: bytes
) -> None:
    payload = bytes(4) + between + text_attribute(NLMSGERR_ATTR_MSG, "too odd")
    assert parse_error(Message(kind, flags | NLM_F_ACK_TLVS, 1, payload)) == (0, "too odd")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        HEADER.pack(HEADER.size - 1, 2, 0, 1, 0),
        HEADER.pack(0, 2, 0, 1, 0),
        HEADER.pack(HEADER.size + 1, 2, 0, 1, 0),
        HEADER.pack(HEADER.size, 2, 0, 1, 0) + b"rest",
    ],
)
def test_lengths_that_make_no_sense_are_refused(data: bytes) -> None:
    with pytest.raises(NetlinkError, match="netlink answer has"):
        list(parse_messages(data))


@given(st.binary(max_size=200))
def test_any_octets_are_messages_or_refused(data: bytes) -> None:
    try:
        messages = list(parse_messages(data))
    except NetlinkError:
        return
    for message in messages:
        answered_error(message, ASKED)


@given(st.integers(0, 2**16 - 1), st.binary(max_size=60))
def test_any_error_can_be_read(flags: int, payload: bytes) -> None:
    for kind in (NLMSG_ERROR, NLMSG_DONE):
        assert isinstance(parse_error(Message(kind, flags, 1, payload))[1], str)


@given(st.dictionaries(st.integers(1, 100), st.binary(max_size=20)))
def test_attributes_survive(wanted: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, payload) for kind, payload in wanted.items())
    assert attributes(data) == wanted


@given(st.binary())
def test_broken_attributes_are_no_trouble(data: bytes) -> None:
    assert all(len(payload) <= len(data) for payload in attributes(data).values())


def test_flags_in_an_attributes_type_are_no_part_of_it() -> None:
    assert attributes(attribute(0x8000 | 18, b"nested")) == {18: b"nested"}


def test_words_and_numbers_survive() -> None:
    found = attributes(text_attribute(3, "eth1") + number_attribute(4, 1500))
    assert (text(found[3]), number(found[4])) == ("eth1", 1500)
    assert (text(b""), number(b"")) == ("", 0)


def test_a_message_that_is_too_short_for_its_fields_is_refused() -> None:
    with pytest.raises(NetlinkError, match="3 octets where 16 belong"):
        head(HEADER, b"123")
