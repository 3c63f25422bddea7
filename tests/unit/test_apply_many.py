"""Applying plans with drivers that make many things at once: the same rules hold."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from vct.apply.journal import Journal
from vct.apply.loop import MOST_TOGETHER, Drivers, run_plan
from vct.drivers.base import Problems
from vct.drivers.fake import FakeDriver, FakeWorld, fake_drivers
from vct.errors import InterruptedByUser, VctError
from vct.plan.steps import Step, diff
from vct.plan.things import Fabric, NodeNetwork, Thing


class ManyDriver(FakeDriver[NodeNetwork]):
    """Makes node networks together; notes how many at once."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(NodeNetwork, world)
        self.goes: list[int] = []

    def create_many(self, things: Sequence[NodeNetwork]) -> Problems:
        self.goes.append(len(things))
        problems: Problems = {}
        for thing in things:
            try:
                self.create(thing)
            except (OSError, VctError) as error:
                problems[thing.key] = error
        return problems


class UnableDriver(ManyDriver):
    """Fails for all at once."""

    def create_many(self, things: Sequence[NodeNetwork]) -> Problems:
        raise VctError("the bridge is gone")


def networks(count: int) -> list[Thing]:
    return [
        NodeNetwork(node=f"{number:04x}", namespace="n", mac="m", addresses=(), gateway="")
        for number in range(1, count + 1)
    ]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def apply(driver: ManyDriver, world: FakeWorld, want: list[Thing], journal: Path) -> None:
    drivers: Drivers = {**fake_drivers(world), NodeNetwork: driver}
    run_plan(diff(want, []), drivers, Journal(journal))


def lines(journal: Path) -> list[tuple[str, str]]:
    told = map(json.loads, journal.read_text().splitlines())
    return [(line["event"], line["key"]) for line in told]


def test_it_works(journal: Path) -> None:
    world = FakeWorld()
    driver = ManyDriver(world)
    apply(driver, world, networks(3), journal)
    assert world.things == networks(3)
    assert driver.goes == [3]
    keys = ["0001", "0002", "0003"]
    assert lines(journal) == [(event, key) for event in ("begin", "done") for key in keys]


def test_very_many_are_made_in_several_goes(journal: Path) -> None:
    world = FakeWorld()
    driver = ManyDriver(world)
    apply(driver, world, networks(MOST_TOGETHER + 1), journal)
    assert driver.goes == [MOST_TOGETHER, 1]


def test_the_first_that_failed_is_told_and_all_are_undone(journal: Path) -> None:
    world = FakeWorld(
        faults={
            "create network of node 0002": OSError(errno.EBUSY, "it is busy"),
            "create network of node 0003": VctError("later"),
        }
    )
    with pytest.raises(VctError, match="create network of node 0002: it is busy"):
        apply(ManyDriver(world), world, [Fabric(namespace="vct-ring"), *networks(4)], journal)
    assert world.things == []
    ended = [line for line in lines(journal) if line[0] in ("done", "failed")]
    assert ended[1:] == [
        ("done", "0001"),
        ("failed", "0002"),
        ("failed", "0003"),
        ("done", "0004"),
    ]
    assert [key for event, key in lines(journal) if event == "undone"] == [
        "0004",
        "0003",
        "0002",
        "0001",
        "vct-ring",
    ]


def test_what_concerns_them_all_fails_them_all(journal: Path) -> None:
    world = FakeWorld()
    with pytest.raises(VctError, match="the bridge is gone"):
        apply(UnableDriver(world), world, networks(2), journal)
    assert [key for event, key in lines(journal) if event == "failed"] == ["0001", "0002"]
    assert world.done == ["delete network of node 0002", "delete network of node 0001"]


def test_an_interruption_is_answered_between_two_goes(journal: Path) -> None:
    world = FakeWorld()
    driver = ManyDriver(world)
    drivers: Drivers = {**fake_drivers(world), NodeNetwork: driver}

    def interrupt(event: str, step: Step) -> None:
        if event == "begin":
            signal.raise_signal(signal.SIGINT)

    plan = diff(networks(MOST_TOGETHER + 1), [])
    with pytest.raises(InterruptedByUser):
        run_plan(plan, drivers, Journal(journal), interrupt)
    assert driver.goes == [MOST_TOGETHER]
    assert world.things == []
