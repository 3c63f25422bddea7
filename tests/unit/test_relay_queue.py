"""The relay's queue with a clock and a chance of the test's own."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vct.drivers.relay_queue import QUEUE_FRAMES, Direction
from vct.quality import Quality

MS = 1_000_000
FRAME = b"x" * 1000


def departures(direction: Direction) -> list[int]:
    """When each frame under way comes out, by looking at every moment when one is due."""
    times = []
    while (at_ns := direction.next_ns()) is not None:
        assert direction.take(at_ns - 1) is None
        assert direction.take(at_ns) is not None
        times.append(at_ns)
    return times


def test_it_works() -> None:
    direction = Direction(Quality(delay_us=10_000))
    direction.arrive(b"one", 5 * MS)
    direction.arrive(b"two", 6 * MS)
    assert direction.take(15 * MS - 1) is None
    assert direction.take(15 * MS) == b"one"
    assert direction.take(15 * MS) is None
    assert direction.take(20 * MS) == b"two"
    assert (direction.packets, direction.octets, direction.dropped) == (2, 6, 0)


def test_an_unshaped_direction_passes_at_once() -> None:
    direction = Direction()
    direction.arrive(FRAME, 7)
    assert direction.next_ns() == 7


def test_jitter_spreads_evenly_around_the_delay_and_keeps_the_order() -> None:
    direction = Direction(Quality(delay_us=10_000, jitter_us=2_000), random.Random(1).random)
    arrivals = range(0, 1000 * 10 * MS, 10 * MS)
    for now_ns in arrivals:
        direction.arrive(FRAME, now_ns)
    delays = [at - now for at, now in zip(departures(direction), arrivals, strict=True)]
    assert 8 * MS <= min(delays) < 8.1 * MS
    assert 11.9 * MS < max(delays) <= 12 * MS
    assert abs(sum(delays) / 1000 - 10 * MS) < 0.1 * MS


def test_loss_is_the_share_asked_for() -> None:
    direction = Direction(Quality(loss_ppm=100_000), random.Random(1).random)
    for now_ns in range(10_000):
        direction.arrive(FRAME, now_ns)
    assert 900 < direction.dropped < 1100
    assert direction.dropped + len(direction) == 10_000


def test_everything_is_lost_at_a_hundred_percent() -> None:
    direction = Direction(Quality(loss_ppm=1_000_000), random.Random(1).random)
    for now_ns in range(1000):
        direction.arrive(FRAME, now_ns)
    assert direction.dropped == 1000


def test_rate_sets_the_distance_between_frames() -> None:
    direction = Direction(Quality(rate_bps=8_000_000))
    for _ in range(5):
        direction.arrive(FRAME, 0)
    assert departures(direction) == [1 * MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS]


def test_a_line_that_was_idle_does_not_make_up_for_it() -> None:
    direction = Direction(Quality(rate_bps=8_000_000))
    direction.arrive(FRAME, 0)
    direction.arrive(FRAME, 50 * MS)
    assert departures(direction) == [1 * MS, 51 * MS]


def test_frames_wait_for_the_line_and_then_travel() -> None:
    direction = Direction(Quality(rate_bps=8_000_000, delay_us=10_000))
    direction.arrive(FRAME, 0)
    direction.arrive(FRAME, 0)
    assert departures(direction) == [11 * MS, 12 * MS]


def test_a_full_queue_drops_and_tells() -> None:
    direction = Direction(Quality(rate_bps=8_000_000))
    for _ in range(300):
        direction.arrive(FRAME, 0)
    assert len(direction) == 101  # those that wait 0.1 s at most
    assert direction.dropped == 199


def test_a_slow_line_still_has_room_for_some_frames() -> None:
    direction = Direction(Quality(rate_bps=8_000))
    for _ in range(100):
        direction.arrive(FRAME, 0)
    assert len(direction) == 33


def test_a_long_delay_does_not_fill_the_memory() -> None:
    direction = Direction(Quality(delay_us=60_000_000))
    for _ in range(QUEUE_FRAMES + 7):
        direction.arrive(b"", 0)
    assert direction.dropped == 7


def test_a_shorter_delay_takes_hold_of_what_is_under_way() -> None:
    direction = Direction(Quality(delay_us=300_000))
    direction.arrive(FRAME, 0)
    direction.change(Quality(delay_us=5_000), 10 * MS)
    direction.arrive(FRAME, 11 * MS)
    assert departures(direction) == [15 * MS, 16 * MS]


def test_a_longer_delay_leaves_what_is_under_way_alone() -> None:
    direction = Direction(Quality(delay_us=5_000))
    direction.arrive(FRAME, 0)
    direction.change(Quality(delay_us=300_000), 1 * MS)
    direction.arrive(FRAME, 2 * MS)
    assert departures(direction) == [5 * MS, 302 * MS]


def test_a_faster_line_takes_hold_of_what_waits() -> None:
    direction = Direction(Quality(rate_bps=8_000))
    for _ in range(10):
        direction.arrive(FRAME, 0)
    direction.change(Quality(rate_bps=8_000_000), 0)
    direction.arrive(FRAME, 0)
    assert departures(direction) == [10 * MS] * 10 + [11 * MS]


def test_an_unlimited_line_frees_what_waits() -> None:
    direction = Direction(Quality(rate_bps=8_000))
    direction.arrive(FRAME, 0)
    direction.change(Quality(), 3 * MS)
    assert departures(direction) == [3 * MS]


def test_what_could_not_be_delivered_counts_as_dropped() -> None:
    direction = Direction()
    direction.arrive(FRAME, 0)
    frame = direction.take(0)
    assert frame is not None
    direction.undelivered(frame)
    assert (direction.packets, direction.octets, direction.dropped) == (0, 0, 1)


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 1500)), max_size=50),
    st.builds(
        Quality,
        delay_us=st.integers(0, 10**6),
        jitter_us=st.integers(0, 10**6),
        loss_ppm=st.integers(0, 10**6),
        rate_bps=st.integers(0, 10**9),
    ),
    st.builds(Quality, delay_us=st.integers(0, 10**6), rate_bps=st.integers(0, 10**9)),
)
def test_order_is_kept_whatever_comes(
    traffic: list[tuple[int, int]], quality: Quality, later: Quality
) -> None:
    direction = Direction(quality, random.Random(1).random)
    half = len(traffic) // 2
    now_ns = 0
    for number, (gap_ns, size) in enumerate(traffic):
        now_ns += gap_ns
        if number == half:
            direction.change(later, now_ns)
        direction.arrive(bytes([number]) * max(size, 1), now_ns)
    came = []
    last_ns = 0
    while (at_ns := direction.next_ns()) is not None:
        assert at_ns >= last_ns
        last_ns = at_ns
        frame = direction.take(at_ns)
        assert frame is not None
        came.append(frame[0])
    assert came == sorted(came)
    assert direction.packets + direction.dropped == len(traffic)
