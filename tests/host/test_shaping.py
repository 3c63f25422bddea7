"""Shaping by the kernel, on a real veth pair: what is asked is seen again, and is felt."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.host.link_pair import Pair, ip, linked_pair, one_way_ms, rate_mbit, received, sockets, tc
from vct.drivers import process
from vct.drivers.netns import delete_namespace
from vct.drivers.shaping import ShapingDriver, has_netem, supports
from vct.errors import HostError, RefusedError, VctError
from vct.plan.things import Shaping
from vct.quality import Quality

NETEM = has_netem()
with_netem = pytest.mark.skipif(not NETEM, reason="this kernel has no netem")
without_netem = pytest.mark.skipif(NETEM, reason="this kernel has netem")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with linked_pair("veth") as made:
        yield made


@pytest.fixture
def driver(pair: Pair) -> ShapingDriver:
    return ShapingDriver(pair)


@pytest.fixture
def ends(pair: Pair) -> Iterator[tuple[socket.socket, socket.socket]]:
    with sockets(pair) as made:
        yield made


def shaping(
    pair: Pair, quality: Quality, *, direction: str = "forward", engine: str = "kernel"
) -> Shaping:
    source, sink = (pair.a, pair.b) if direction == "forward" else (pair.b, pair.a)
    return Shaping(
        link=pair.link,
        direction=direction,
        source_namespace=source,
        source_interface="eth1",
        sink_namespace=sink,
        sink_interface="eth1",
        engine=engine,
        quality=quality,
    )


def test_it_works(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(rate_bps=10_000_001, loss_ppm=12_345))
    driver.create(wanted)
    assert driver.observe() == [wanted]


def test_a_link_that_nobody_shaped_is_not_seen(driver: ShapingDriver) -> None:
    assert driver.observe() == []


def test_both_directions_are_seen_each_with_its_own_quality(
    pair: Pair, driver: ShapingDriver
) -> None:
    there = shaping(pair, Quality(rate_bps=100_000_000_000))
    back = shaping(pair, Quality(loss_ppm=1_000_000), direction="backward")
    driver.create(there)
    driver.create(back)
    assert driver.observe() == [there, back]


def test_doing_it_twice_is_doing_it_once(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(rate_bps=5_000_000, loss_ppm=10_000))
    driver.create(wanted)
    driver.create(wanted)
    assert driver.observe() == [wanted]


def test_a_change_leaves_the_other_direction_alone(pair: Pair, driver: ShapingDriver) -> None:
    there = shaping(pair, Quality(rate_bps=5_000_000, loss_ppm=10_000))
    back = shaping(pair, Quality(rate_bps=1_000_000), direction="backward")
    driver.create(there)
    driver.create(back)
    changed = replace(there, quality=Quality(loss_ppm=20_000))
    driver.change(there, changed)
    assert driver.observe() == [changed, back]


def test_a_deleted_one_leaves_nothing(pair: Pair, driver: ShapingDriver) -> None:
    before = tc(pair.a, "qdisc show"), tc(pair.b, "qdisc show")
    wanted = shaping(pair, Quality(rate_bps=5_000_000, loss_ppm=10_000))
    driver.create(wanted)
    driver.delete(wanted)
    assert driver.observe() == []
    assert (tc(pair.a, "qdisc show"), tc(pair.b, "qdisc show")) == before


def test_frames_are_sent_one_by_one_where_some_get_lost(pair: Pair, driver: ShapingDriver) -> None:
    def heaps() -> str:
        return process.run(["ip", "-n", pair.a, "-d", "link", "show", "dev", "eth1"]).stdout

    wanted = shaping(pair, Quality(loss_ppm=10_000))
    driver.create(wanted)
    assert "gso_max_segs 1 " in heaps()
    driver.change(wanted, shaping(pair, Quality(rate_bps=1_000_000)))
    assert "gso_max_segs 65535 " in heaps()
    driver.create(wanted)
    driver.delete(wanted)
    assert "gso_max_segs 65535 " in heaps()


def test_deleting_what_is_gone_is_no_error(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(rate_bps=5_000_000, loss_ppm=10_000))
    driver.delete(wanted)
    ip(pair.a, "link del dev eth1")
    driver.delete(wanted)
    delete_namespace(pair.a)
    driver.delete(wanted)
    assert driver.observe() == []


def test_a_filter_of_somebody_else_stays(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(loss_ppm=10_000))
    driver.create(wanted)
    tc(pair.b, "filter add dev eth1 ingress prio 7 bpf da bytecode", "1,6 0 0 4294967295")
    driver.delete(wanted)
    shown = tc(pair.b, "filter show dev eth1 ingress")
    assert "pref 7 " in shown
    assert "pref 31856 " not in shown


def test_a_discipline_of_somebody_else_is_refused(pair: Pair, driver: ShapingDriver) -> None:
    tc(pair.a, "qdisc add dev eth1 root handle 1: tbf rate 1mbit burst 5kb latency 50ms")
    wanted = shaping(pair, Quality(rate_bps=5_000_000))
    for act in (driver.claim, driver.create):
        with pytest.raises(RefusedError, match="tbf that is not ours") as refusal:
            act(wanted)
        assert refusal.value.hint == f"remove it: tc -n {pair.a} qdisc del dev eth1 root"
    driver.delete(wanted)
    assert "tbf 1:" in tc(pair.a, "qdisc show dev eth1")


def test_nothing_in_the_way_can_be_claimed(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(rate_bps=5_000_000))
    driver.claim(wanted)
    driver.create(wanted)
    driver.claim(wanted)
    driver.claim(replace(wanted, source_namespace="vcttest-none"))


def test_an_interface_without_our_mark_is_refused(pair: Pair, driver: ShapingDriver) -> None:
    ip(pair.a, "link set dev eth1 alias somebody")
    with pytest.raises(RefusedError, match="no interface eth1 with the mark"):
        driver.create(shaping(pair, Quality(rate_bps=5_000_000)))


def test_a_namespace_that_is_gone_is_told(pair: Pair, driver: ShapingDriver) -> None:
    wanted = shaping(pair, Quality(rate_bps=5_000_000))
    with pytest.raises(VctError, match="there is no namespace vcttest-none"):
        driver.create(replace(wanted, source_namespace="vcttest-none"))


def test_the_kernel_engine_refuses_to_delay(pair: Pair, driver: ShapingDriver) -> None:
    with pytest.raises(VctError, match="cannot delay"):
        driver.create(shaping(pair, Quality(delay_us=1000)))


def test_more_jitter_than_netem_has_is_refused(pair: Pair, driver: ShapingDriver) -> None:
    quality = Quality(delay_us=3_000_000, jitter_us=2_000_001)
    with pytest.raises(VctError, match="cannot spread delays") as refusal:
        driver.create(shaping(pair, quality, engine="netem"))
    assert refusal.value.hint == "write a jitter of at most 2s"


def test_loss_is_felt_by_the_receiver_only_in_its_direction(
    pair: Pair, driver: ShapingDriver, ends: tuple[socket.socket, socket.socket]
) -> None:
    driver.create(shaping(pair, Quality(loss_ppm=100_000)))
    a, b = ends
    assert 1600 < received(a, b, 2000) < 1980
    assert received(b, a, 500) == 500


def test_everything_is_lost_at_a_hundred_percent(
    pair: Pair, driver: ShapingDriver, ends: tuple[socket.socket, socket.socket]
) -> None:
    driver.create(shaping(pair, Quality(loss_ppm=1_000_000)))
    assert received(*ends, 500) == 0


def test_rate_is_felt_and_follows_a_change(
    pair: Pair, driver: ShapingDriver, ends: tuple[socket.socket, socket.socket]
) -> None:
    slow = shaping(pair, Quality(rate_bps=2_000_000))
    fast = replace(slow, quality=Quality(rate_bps=20_000_000))
    driver.create(slow)
    assert 1.4 < rate_mbit(*ends) < 2.6
    driver.change(slow, fast)
    assert 10 < rate_mbit(*ends) < 26


def test_extremes_survive_the_kernel(pair: Pair, driver: ShapingDriver) -> None:
    rates = (1, 7, 8, 9, 12_345_678, 2**35 - 1, 2**35, 2**35 + 1, 100_000_000_000)
    losses = (1, 2, 999_999, 500_000, 333_333, 1_000_000, 0, 0, 0)
    for rate_bps, loss_ppm in zip(rates, losses, strict=True):
        wanted = shaping(pair, Quality(rate_bps=rate_bps, loss_ppm=loss_ppm))
        driver.create(wanted)
        assert driver.observe() == [wanted]


@with_netem
def test_extremes_survive_netem(pair: Pair, driver: ShapingDriver) -> None:
    for quality in (
        Quality(delay_us=1, jitter_us=1, loss_ppm=1, rate_bps=1),
        Quality(delay_us=60_000_000, jitter_us=2_000_000, loss_ppm=1_000_000, rate_bps=10**11),
        Quality(delay_us=59_999_999, loss_ppm=999_999, rate_bps=2**35 - 1),
        Quality(delay_us=1_234_567, jitter_us=1_234_567, loss_ppm=333_333, rate_bps=2**35),
    ):
        wanted = shaping(pair, quality, engine="netem")
        driver.create(wanted)
        assert driver.observe() == [wanted]


@with_netem
def test_netem_is_seen_as_asked(pair: Pair, driver: ShapingDriver) -> None:
    quality = Quality(delay_us=10_001, jitter_us=2_003, loss_ppm=12_345, rate_bps=54_000_001)
    wanted = shaping(pair, quality, engine="netem")
    driver.create(wanted)
    assert driver.observe() == [wanted]
    changed = replace(wanted, quality=Quality(delay_us=60_000_000))
    driver.change(wanted, changed)
    assert driver.observe() == [changed]
    driver.delete(changed)
    assert driver.observe() == []


@with_netem
def test_netem_delays_one_direction(
    pair: Pair, driver: ShapingDriver, ends: tuple[socket.socket, socket.socket]
) -> None:
    driver.create(shaping(pair, Quality(delay_us=20_000), engine="netem"))
    a, b = ends
    assert 20 <= one_way_ms(a, b) < 60
    assert one_way_ms(b, a) < 20


@with_netem
def test_netem_takes_over_from_the_kernel_engine(pair: Pair, driver: ShapingDriver) -> None:
    was = shaping(pair, Quality(rate_bps=5_000_000, loss_ppm=10_000))
    wanted = shaping(pair, Quality(delay_us=5_000), engine="netem")
    driver.create(was)
    driver.change(was, wanted)
    assert driver.observe() == [wanted]
    driver.change(wanted, was)
    assert driver.observe() == [was]


@without_netem
def test_a_kernel_without_netem_is_told(pair: Pair, driver: ShapingDriver) -> None:
    with pytest.raises(HostError, match="does not have netem"):
        driver.create(shaping(pair, Quality(delay_us=1000), engine="netem"))
    assert driver.observe() == []


def test_this_kernel_has_what_links_need() -> None:
    lacking = [finding for finding in supports() if finding.required and not finding.found]
    assert lacking == []
    assert {finding.what: finding.found for finding in supports()}["netem"] == NETEM
