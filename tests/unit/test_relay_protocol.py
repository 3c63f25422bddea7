"""What the relay and its driver say to each other, and what is no word of theirs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.relay_protocol import (
    Counters,
    LinkState,
    ProtocolError,
    RelayState,
    parse_request,
    parse_state,
    render_error,
    render_request,
    render_state,
)
from vct.plan.things import RelayLink
from vct.quality import Quality

numbers = st.integers(0, 10**12)
qualities = st.builds(
    Quality, delay_us=numbers, jitter_us=numbers, loss_ppm=numbers, rate_bps=numbers
)
words = st.text(max_size=20)
links = st.builds(
    RelayLink,
    link=words,
    a_namespace=words,
    a_interface=words,
    b_namespace=words,
    b_interface=words,
    forward=qualities,
    backward=qualities,
)
counters = st.builds(Counters, packets=numbers, octets=numbers, dropped=numbers)
states = st.builds(
    RelayState,
    testbed=words,
    pid=numbers,
    links=st.lists(
        st.builds(LinkState, link=links, trouble=words, forward=counters, backward=counters),
        max_size=3,
    ).map(tuple),
)


def test_it_works() -> None:
    assert parse_request(render_request("state")) == ("state", ())


@given(st.lists(links, max_size=3, unique_by=lambda link: link.link))
def test_links_survive(wanted: list[RelayLink]) -> None:
    assert parse_request(render_request("set", wanted)) == ("set", tuple(wanted))


@given(states)
def test_states_survive(state: RelayState) -> None:
    line = render_state(state)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_state(line) == state


def test_an_error_is_raised_with_its_words() -> None:
    with pytest.raises(ProtocolError, match="no such thing"):
        parse_state(render_error("no such thing"))


def link_document(**changes: object) -> bytes:
    quality = {"delay_us": 0, "jitter_us": 0, "loss_ppm": 0, "rate_bps": 0}
    ends = dict.fromkeys(("a_namespace", "a_interface", "b_namespace", "b_interface"), "x")
    link = {"link": "l", **ends, "forward": quality, "backward": quality, **changes}
    return json.dumps({"do": "set", "links": [link]}).encode()


def test_a_document_of_the_test_is_right_before_it_is_broken() -> None:
    assert parse_request(link_document())[0] == "set"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "a mapping was expected"),
        (b"{}", "do must be a string"),
        (b'{"do": "dance"}', "unknown request 'dance'"),
        (b'{"do": "set"}', "links must be a list"),
        (b'{"do": "set", "links": [1]}', "a mapping was expected"),
        (link_document(link=1), "link must be a string"),
        (link_document(color="red"), "unknown: color"),
        (link_document(forward={}), "delay_us must be a whole number"),
        (link_document(forward=None), "a mapping was expected"),
        (
            link_document(backward={"delay_us": -1, "jitter_us": 0, "loss_ppm": 0, "rate_bps": 0}),
            "delay_us must be a whole number, not below zero",
        ),
        (
            link_document(
                backward={"delay_us": True, "jitter_us": 0, "loss_ppm": 0, "rate_bps": 0}
            ),
            "delay_us must be a whole number",
        ),
    ],
)
def test_rubbish_is_told_from_sense(line: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse_request(line)


def test_two_links_of_one_name_are_refused() -> None:
    document = json.loads(link_document())
    document["links"] *= 2
    with pytest.raises(ProtocolError, match="the same name"):
        parse_request(json.dumps(document).encode())
