"""Qualities of links: how they read, and that what is rendered is exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.model.units import RATE, SHARE, TIME, parse_quantity
from vct.quality import (
    UNSHAPED,
    Engine,
    Quality,
    choose_engine,
    render_rate,
    render_share,
    render_time,
)

DELAYED, LOSSY = Quality(delay_us=5000), Quality(loss_ppm=5000)


def test_it_works() -> None:
    quality = Quality(delay_us=10_000, jitter_us=250, loss_ppm=10_000, rate_bps=54_000_000)
    assert str(quality) == "delay 10ms, jitter 250us, loss 1%, rate 54mbit"


def test_a_quality_of_zeros_is_none() -> None:
    assert not UNSHAPED
    assert str(UNSHAPED) == "unshaped"
    assert LOSSY


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0us"),
        (999, "999us"),
        (1000, "1ms"),
        (1500, "1.5ms"),
        (999_999, "999.999ms"),
        (1_500_000, "1.5s"),
        (1_234_567, "1234.567ms"),
        (59_999_999, "59999.999ms"),
        (60_000_000, "60s"),
    ],
)
def test_times_read_short(microseconds: int, text: str) -> None:
    assert render_time(microseconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(100, "100bit"), (1500, "1500bit"), (512_000, "512kbit"), (10**9, "1gbit")],
)
def test_rates_read_short(rate: int, text: str) -> None:
    assert render_rate(rate) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "0.0001%"), (5000, "0.5%"), (999_999, "99.9999%"), (1_000_000, "100%")],
)
def test_shares_read_short(share: int, text: str) -> None:
    assert render_share(share) == text


@given(st.integers(0, 60_000_000))
def test_a_rendered_time_is_exact(microseconds: int) -> None:
    assert parse_quantity(TIME, render_time(microseconds)) == microseconds


@given(st.integers(0, 1_000_000))
def test_a_rendered_share_is_exact(share: int) -> None:
    assert parse_quantity(SHARE, render_share(share)) == share


@given(st.integers(1, 100 * 10**9))
def test_a_rendered_rate_is_exact(rate: int) -> None:
    assert parse_quantity(RATE, render_rate(rate)) == rate


@pytest.mark.parametrize(
    ("forward", "backward", "netem", "engine"),
    [
        (UNSHAPED, UNSHAPED, True, Engine.NONE),
        (UNSHAPED, UNSHAPED, False, Engine.NONE),
        (DELAYED, UNSHAPED, True, Engine.NETEM),
        (LOSSY, LOSSY, True, Engine.NETEM),
        (LOSSY, UNSHAPED, False, Engine.KERNEL),
        (LOSSY, DELAYED, False, Engine.RELAY),
        (Quality(rate_bps=1), UNSHAPED, False, Engine.KERNEL),
    ],
)
def test_the_engine_is_the_least_that_can_do_it(
    forward: Quality, backward: Quality, netem: bool, engine: Engine
) -> None:
    assert choose_engine(forward, backward, netem=netem) is engine
