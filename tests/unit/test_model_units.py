"""Quantities: exact conversion, and what is refused with which words."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.model.units import RATE, SHARE, SIZE, TIME, Quantity, WrongValue, parse_quantity, shorten


def test_it_works() -> None:
    assert parse_quantity(TIME, "10ms") == 10_000


@pytest.mark.parametrize(
    ("quantity", "text", "value"),
    [
        (TIME, "0us", 0),
        (TIME, "500us", 500),
        (TIME, "0.5ms", 500),
        (TIME, "1.5s", 1_500_000),
        (TIME, "60s", 60_000_000),
        (SHARE, "0%", 0),
        (SHARE, "0.0001%", 1),
        (SHARE, "0.1%", 1000),
        (SHARE, "100%", 1_000_000),
        (SHARE, "100.000%", 1_000_000),
        (RATE, "1bit", 1),
        (RATE, "100bit", 100),
        (RATE, "512kbit", 512_000),
        (RATE, "1.544mbit", 1_544_000),
        (RATE, "100gbit", 100 * 10**9),
        (SIZE, "16MiB", 16),
        (SIZE, "1.5GiB", 1536),
        (SIZE, "1024GiB", 1024 * 1024),
    ],
)
def test_what_is_written_is_converted_exactly(quantity: Quantity, text: str, value: int) -> None:
    assert parse_quantity(quantity, text) == value


@pytest.mark.parametrize(
    ("quantity", "value", "message", "hint"),
    [
        (TIME, None, "has no value", "500us, 10ms or 1.5s"),
        (TIME, 10, "needs a unit", "500us, 10ms or 1.5s"),
        (TIME, float("nan"), "needs a unit", "10ms"),
        (TIME, "10", "needs a unit", "10ms"),
        (TIME, True, "must be a time", "10ms"),
        (TIME, ["10ms"], "must be a time", "10ms"),
        (TIME, "", "'' is not a time", "10ms"),
        (TIME, "nanms", "'nanms' is not a time", "10ms"),
        (TIME, "1e3ms", "'1e3ms' is not a time", "10ms"),
        (TIME, ".5ms", "'.5ms' is not a time", "10ms"),
        (TIME, "10ms\n", r"'10ms\n' is not a time", "write 10ms"),
        (TIME, "\u0661ms", "ms' is not a time", "10ms"),
        (TIME, "9" * 99 + "ms", "9…' is not a time", "10ms"),
        (TIME, "-1ms", "-1ms is negative", "10ms"),
        (TIME, "60.000001s", "60.000001s is too much", "at most 60s"),
        (TIME, "0.0001ms", "0.0001ms is finer than vct can do", "microsecond"),
        (SHARE, 1, "needs a unit", "0.5% or 1%"),
        (SHARE, "100.0001%", "100.0001% is too much", "at most 100%"),
        (SHARE, "0.00001%", "0.00001% is finer than vct can do", "0.0001%"),
        (RATE, "0bit", "0bit is too little", "leave the rate out"),
        (RATE, "0.9bit", "0.9bit is too little", "leave the rate out"),
        (RATE, "1.5bit", "1.5bit is finer than vct can do", "bit per second"),
        (RATE, "100.1gbit", "100.1gbit is too much", "at most 100gbit"),
        (RATE, "1 Gbit", "'1 Gbit' is not a rate", "write 1gbit"),
        (SIZE, "15MiB", "15MiB is too little", "at least 16MiB"),
        (SIZE, "1gib", "'1gib' is not a size", "write 1GiB"),
        (SIZE, "1025GiB", "1025GiB is too much", "at most 1024GiB"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(
    quantity: Quantity, value: object, message: str, hint: str
) -> None:
    with pytest.raises(WrongValue) as caught:
        parse_quantity(quantity, value)
    assert caught.value.message.endswith(message)
    assert hint in caught.value.hint


@given(st.fractions(0, 60_000_000, max_denominator=1000))
def test_a_time_is_taken_exactly_or_not_at_all(microseconds: Fraction) -> None:
    text = f"{int(microseconds)}.{int(microseconds % 1 * 1000):03}us"
    written = Fraction(text.removesuffix("us"))
    if written.denominator == 1:
        assert parse_quantity(TIME, text) == written
    else:
        with pytest.raises(WrongValue):
            parse_quantity(TIME, text)


@given(st.text())
def test_any_text_is_a_quantity_or_a_wrong_value(text: str) -> None:
    for quantity in (TIME, SHARE, RATE, SIZE):
        with contextlib.suppress(WrongValue):
            assert parse_quantity(quantity, text) >= quantity.least


def test_long_texts_are_cut_for_messages() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"
