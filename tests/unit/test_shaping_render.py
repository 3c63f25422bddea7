"""Qualities to kernel options and back, against what real kernels answered."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.rtnetlink_codec import attribute, attributes
from vct.drivers.shaping_render import (
    DROP,
    NETEM,
    TBF,
    TCA_BPF_OPS,
    TCA_TBF_PARMS,
    parse_drop,
    parse_netem,
    parse_tbf,
    render_drop,
    render_netem,
    render_tbf,
)
from vct.quality import JITTER_MAX_US, Quality

# What Linux 6.1 answered for these, as `tc` shows them:
# delay 10ms 2ms loss 1% rate 54Mbit
NETEM_54MBIT = (
    "5a62020028050000285c8f020000000000000000127a00000c000a0080969800000000000c000b0080841e0000"
    "000000100001000000000000000000000000000c00030000000000000000000c000400000000000000000014"
    "00060030ff6600000000000000000000000000"
)
# delay 1us 2.147483s rate 100000000001bit
NETEM_100GBIT = (
    "0f00000037661000000000000000000000000000f5ffff010c000a00e8030000000000000c000b0078fdff7f00"
    "000000100001000000000000000000000000000c00030000000000000000000c00040000000000000000000c"
    "00080001dd0ee90200000014000600ffffffff000000000000000000000000"
)
TBF_54MBIT = "28000100000100000000000031ff660000000000000000000000000017670a00083d000000000000"
TBF_100GBIT = (
    "280001000001000000000000ffffffff000000000000000000000000a038404b083d000000000000"
    "040008000c00040000dd0ee902000000"
)
DROP_1_PERCENT = (
    "0600040004000000240005002000000038f0ffff35000001285c8f0206000000ffffffff06000000020000000800"
    "0800010000000800090008000000"
)
DROP_ALL = "06000400010000000c000500060000000200000008000800010000000800090008000000"

qualities = st.builds(
    Quality,
    delay_us=st.integers(0, 60_000_000),
    jitter_us=st.integers(0, JITTER_MAX_US),
    loss_ppm=st.integers(0, 1_000_000),
    rate_bps=st.integers(0, 100_000_000_000),
)


def test_it_works() -> None:
    quality = Quality(delay_us=10_000, jitter_us=2_000, loss_ppm=10_000, rate_bps=54_000_000)
    assert parse_netem(bytes.fromhex(NETEM_54MBIT)) == quality
    assert parse_netem(render_netem(quality)) == quality


def test_a_rate_beyond_32_bits_of_octets_is_read() -> None:
    quality = Quality(delay_us=1, jitter_us=2_147_483, rate_bps=100_000_000_001)
    assert parse_netem(bytes.fromhex(NETEM_100GBIT)) == quality


@given(qualities)
def test_every_quality_survives_netem(quality: Quality) -> None:
    assert parse_netem(render_netem(quality)) == quality


@given(qualities)
def test_every_quality_survives_a_netem_that_knows_ticks_only(quality: Quality) -> None:
    options = render_netem(quality)[: NETEM.size]
    seen = parse_netem(options)
    assert (seen.delay_us, seen.jitter_us) == (quality.delay_us, quality.jitter_us)


def test_netem_has_room_for_what_is_under_way() -> None:
    limits = [
        NETEM.unpack_from(render_netem(quality))[1]
        for quality in (
            Quality(loss_ppm=1),
            Quality(delay_us=100_000, rate_bps=10_000_000),
            Quality(delay_us=60_000_000),
        )
    ]
    assert limits == [1000, 1496, 100_000]


@pytest.mark.parametrize(
    ("answer", "rate_bps"),
    [(TBF_54MBIT, 54_000_001), (TBF_100GBIT, 100_000_000_000)],
)
def test_tbf_is_read_as_the_kernel_says_it(answer: str, rate_bps: int) -> None:
    assert parse_tbf(bytes.fromhex(answer)) == rate_bps


@given(st.integers(1, 100_000_000_000), st.integers(68, 65_535))
def test_every_rate_survives_tbf(rate_bps: int, mtu: int) -> None:
    assert parse_tbf(render_tbf(rate_bps, mtu)) == rate_bps


@given(st.integers(1, 100_000_000_000), st.integers(68, 65_535))
def test_tbf_lets_the_largest_frame_pass_and_holds_some_more(rate_bps: int, mtu: int) -> None:
    options = attributes(render_tbf(rate_bps, mtu))
    burst = struct.unpack("=I", options[6])[0]
    limit = TBF.unpack(options[TCA_TBF_PARMS])[2]
    assert burst >= mtu + 18
    assert limit >= burst + 32_000


@pytest.mark.parametrize(("answer", "loss_ppm"), [(DROP_1_PERCENT, 10_000), (DROP_ALL, 1_000_000)])
def test_a_drop_is_read_as_the_kernel_says_it(answer: str, loss_ppm: int) -> None:
    assert parse_drop(bytes.fromhex(answer)) == loss_ppm


@given(st.integers(1, 1_000_000))
def test_every_loss_survives_the_drop(loss_ppm: int) -> None:
    assert parse_drop(render_drop(loss_ppm)) == loss_ppm


def test_a_program_of_somebody_else_is_no_loss() -> None:
    assert parse_drop(attribute(TCA_BPF_OPS, DROP * 4)) == 0
    assert parse_drop(b"") == 0


@given(st.dictionaries(st.integers(1, 100), st.binary(max_size=20)))
def test_attributes_survive(wanted: dict[int, bytes]) -> None:
    data = b"".join(attribute(kind, payload) for kind, payload in wanted.items())
    assert attributes(data) == wanted


@given(st.binary())
def test_broken_attributes_are_no_trouble(data: bytes) -> None:
    assert all(len(payload) <= len(data) for payload in attributes(data).values())
