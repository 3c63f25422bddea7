"""The relay process between two real TAPs: what is asked is seen again, and is felt."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.host.link_pair import (
    Pair,
    bring_up,
    ip,
    linked_pair,
    make_tap,
    one_way_ms,
    rate_mbit,
    received,
    sockets,
)
from vct.drivers import process
from vct.drivers.relay import RelayDriver, daemon_of
from vct.errors import VctError
from vct.paths import TestbedPaths
from vct.plan.things import Relay, RelayLink
from vct.quality import UNSHAPED, Quality

DEADLINE_S = 60.0


@pytest.fixture
def pair() -> Iterator[Pair]:
    with linked_pair("tap") as made:
        yield made


@pytest.fixture
def paths(pair: Pair, tmp_path: Path) -> TestbedPaths:
    return TestbedPaths(name=pair.testbed, root=tmp_path, run=tmp_path / "run")


@pytest.fixture
def driver(paths: TestbedPaths) -> Iterator[RelayDriver]:
    made = RelayDriver(paths)
    yield made
    made.delete(Relay(testbed=paths.name, links=()))


def relay(pair: Pair, forward: Quality = UNSHAPED, backward: Quality = UNSHAPED) -> Relay:
    link = RelayLink(
        link=pair.link,
        a_namespace=pair.a,
        a_interface="eth1",
        b_namespace=pair.b,
        b_interface="eth1",
        forward=forward,
        backward=backward,
    )
    return Relay(testbed=pair.testbed, links=(link,))


def pid_of(driver: RelayDriver) -> int:
    state = driver.state()
    assert state is not None
    return state.pid


def wait_until_seen(driver: RelayDriver, wanted: list[Relay]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while driver.observe() != wanted:
        assert time.monotonic() < deadline_s, f"last seen: {driver.state()}"
        time.sleep(0.05)


def test_it_works(pair: Pair, driver: RelayDriver) -> None:
    both = Quality(delay_us=10_000)
    wanted = relay(pair, both, both)
    driver.create(wanted)
    assert driver.observe() == [wanted]
    with sockets(pair) as (a, b):
        assert 20 <= one_way_ms(a, b) + one_way_ms(b, a) < 60


def test_without_a_relay_none_is_seen(driver: RelayDriver) -> None:
    assert driver.observe() == []
    assert driver.state() is None


def test_directions_differ(pair: Pair, driver: RelayDriver) -> None:
    wanted = relay(pair, Quality(delay_us=30_000, jitter_us=1_000), Quality(loss_ppm=100_000))
    driver.create(wanted)
    assert driver.observe() == [wanted]
    with sockets(pair) as (a, b):
        assert 29 <= one_way_ms(a, b) < 70
        assert received(a, b, 300) == 300
        assert 1600 < received(b, a, 2000) < 1980


def test_rate_is_felt(pair: Pair, driver: RelayDriver) -> None:
    driver.create(relay(pair, Quality(rate_bps=2_000_000)))
    with sockets(pair) as (a, b):
        assert 1.4 < rate_mbit(a, b) < 2.6
        assert rate_mbit(b, a, 0.3) > 10


def test_a_change_is_felt_and_loses_nothing(pair: Pair, driver: RelayDriver) -> None:
    was, wanted = relay(pair, Quality(delay_us=300_000)), relay(pair, Quality(delay_us=5_000))
    driver.create(was)
    pid = pid_of(driver)
    with sockets(pair) as (a, b):
        a.send(b"on its way")
        driver.change(was, wanted)
        assert b.recv(100) == b"on its way"
        assert 5 <= one_way_ms(a, b) < 100
    assert driver.observe() == [wanted]
    assert pid_of(driver) == pid


def test_traffic_is_counted(pair: Pair, driver: RelayDriver) -> None:
    driver.create(relay(pair, Quality(loss_ppm=1_000_000)))
    with sockets(pair) as (a, b):
        assert received(a, b, 100) == 0
        assert received(b, a, 100) == 100
    state = driver.state()
    assert state is not None
    assert state.links[0].forward.dropped >= 100
    assert state.links[0].backward.packets >= 100
    assert state.links[0].backward.octets >= 100 * 142


def test_a_killed_relay_is_not_seen_and_can_be_made_again(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    wanted = relay(pair, Quality(delay_us=1_000))
    driver.create(wanted)
    handle = os.pidfd_open(pid_of(driver))
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    assert select.select([handle], [], [], DEADLINE_S)[0]
    os.close(handle)
    assert driver.observe() == []
    assert (paths.run / "relay.pid").exists()
    driver.create(wanted)
    assert driver.observe() == [wanted]


def test_a_relay_that_hangs_is_replaced(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    driver.create(relay(pair))
    hung = pid_of(driver)
    os.kill(hung, signal.SIGSTOP)
    driver.create(relay(pair))
    assert pid_of(driver) != hung
    assert not daemon_of(paths).is_at(hung)


def test_a_deleted_relay_leaves_nothing(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    wanted = relay(pair)
    driver.create(wanted)
    pid = pid_of(driver)
    driver.delete(wanted)
    assert driver.observe() == []
    assert not daemon_of(paths).is_at(pid)
    assert list(paths.run.iterdir()) == []
    driver.delete(wanted)


def test_a_stale_pid_file_harms_nobody(driver: RelayDriver, paths: TestbedPaths) -> None:
    paths.run.mkdir()
    bystander = process.start(["sleep", "60"])
    try:
        (paths.run / "relay.pid").write_text(f"{bystander.pid}\n")
        assert driver.observe() == []
        driver.delete(Relay(testbed=paths.name, links=()))
        assert bystander.poll() is None
        assert not daemon_of(paths).is_at(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


def test_a_tap_that_is_not_there_is_told_and_not_made(pair: Pair, driver: RelayDriver) -> None:
    ip(pair.b, "link del dev eth1")
    with pytest.raises(VctError, match=f"1 of 1 links; link 0001-0002: {pair.b} eth1"):
        driver.create(relay(pair))
    assert driver.observe() == [Relay(testbed=pair.testbed, links=())]
    shown = process.run(["ip", "-n", pair.b, "-brief", "link"]).stdout
    assert "eth1" not in shown


def test_a_tap_made_anew_is_attached_by_a_change(pair: Pair, driver: RelayDriver) -> None:
    wanted = relay(pair, Quality(delay_us=1_000))
    driver.create(wanted)
    ip(pair.b, "link del dev eth1")
    seen = Relay(testbed=pair.testbed, links=())
    assert driver.observe() == [seen]
    make_tap(pair.b)
    bring_up(pair, 1)
    driver.change(seen, wanted)
    assert driver.observe() == [wanted]
    with sockets(pair) as (a, b):
        assert one_way_ms(a, b) >= 1


def test_a_tap_made_anew_is_attached_by_itself(pair: Pair, driver: RelayDriver) -> None:
    wanted = relay(pair, Quality(delay_us=1_000))
    driver.create(wanted)
    ip(pair.a, "link del dev eth1")
    make_tap(pair.a)
    bring_up(pair, 0)
    wait_until_seen(driver, [wanted])


def test_a_namespace_of_another_making_is_not_kept(pair: Pair, driver: RelayDriver) -> None:
    wanted = relay(pair)
    driver.create(wanted)
    process.run(["ip", "netns", "del", pair.a])
    process.run(["ip", "netns", "add", pair.a])
    assert driver.observe() == [Relay(testbed=pair.testbed, links=())]
    make_tap(pair.a)
    bring_up(pair, 0)
    driver.change(wanted, wanted)
    assert driver.observe() == [wanted]


def test_a_link_that_goes_leaves_the_others_alone(pair: Pair, driver: RelayDriver) -> None:
    with linked_pair("tap") as other:
        mine = relay(pair, Quality(delay_us=1_000)).links[0]
        theirs = replace(relay(other).links[0], link="0003-0004")
        both = Relay(testbed=pair.testbed, links=(mine, theirs))
        driver.create(both)
        assert driver.observe() == [both]
        driver.change(both, replace(both, links=(mine,)))
        assert driver.observe() == [replace(both, links=(mine,))]
        with sockets(pair) as (a, b):
            assert received(a, b, 100) == 100


def test_rubbish_on_the_socket_harms_nobody(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    wanted = relay(pair)
    driver.create(wanted)
    for rubbish in (b"\xff\x00\n", b"[]\n", b'{"do": "set"}\n', b'{"do": "dance"}\n', b"{", b"\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(paths.run / "relay.sock"))
            client.sendall(rubbish)
            if rubbish.endswith(b"\n"):
                assert b'"error"' in client.recv(1000)
    assert driver.observe() == [wanted]


def test_the_socket_is_for_its_owner_only(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    driver.create(relay(pair))
    assert (paths.run / "relay.sock").stat().st_mode & 0o777 == 0o600


def test_a_relay_without_its_socket_ends_by_itself(
    pair: Pair, driver: RelayDriver, paths: TestbedPaths
) -> None:
    driver.create(relay(pair))
    pid = pid_of(driver)
    (paths.run / "relay.sock").unlink()
    deadline_s = time.monotonic() + DEADLINE_S
    while daemon_of(paths).is_at(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert not (paths.run / "relay.pid").exists()
