"""Pings: who is there answers, who is not does not; other messages are none."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from vct.drivers import netns
from vct.drivers.echo import HEADER, REPLY, REQUEST, is_reply, ping


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "entered", lambda _name: nullcontext())
    found = ping("any", ["::1", "2001:db8::1"], timeout_s=0.2)
    assert list(found) == ["::1"]
    assert 0 < found["::1"] < 200


@pytest.mark.parametrize(
    ("message", "good"),
    [
        (HEADER.pack(REPLY, 0, 0, 7, 1), True),
        (HEADER.pack(REPLY, 0, 0, 7, 0), False),
        (HEADER.pack(REPLY, 0, 0, 8, 1), False),
        (HEADER.pack(REQUEST, 0, 0, 7, 1), False),
        (b"\x81", False),
    ],
)
def test_only_an_answer_to_the_question_counts(message: bytes, good: bool) -> None:
    assert is_reply(message, 7, 1) is good
