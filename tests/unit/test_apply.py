"""Applying plans to a world in memory: order, journal, undo, interruption."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vct.apply.journal import Journal
from vct.apply.lock import locked
from vct.apply.loop import Drivers, observe, run_plan
from vct.drivers.fake import FakeDriver, FakeWorld, fake_drivers
from vct.errors import InterruptedByUser, LockedError, RefusedError, VctError
from vct.model.load import parse_testbed
from vct.plan.steps import Step, diff
from vct.plan.things import KEEPSAKES, KINDS, Container, Fabric, NodeNetwork, Thing
from vct.plan.wanted import BuiltImage, Facts, number, wanted

IMAGES = {("node-debian", "amd64"): BuiltImage(label="node-debian@0123", root="/images/n")}
LINE = 'nodes: {"0001": {}, "0002": {}}\nlinks: [{between: ["0001", "0002"], rate: 1mbit}]'
TRIANGLE = """\
nodes: {"0001": {}, "0002": {memory: 99MiB}, "0003": {}}
links:
  - {between: ["0001", "0002"], delay: 5ms}
  - {between: ["0002", "0003"]}
segments: [{name: roof, members: ["0001", "0003"]}]
"""


def things(text: str) -> list[Thing]:
    testbed = parse_testbed(f"name: ring\n{text}", "ring.yaml")
    facts = Facts(netem=False, images=IMAGES)
    return wanted(testbed, number(testbed, None), facts)


def apply(world: FakeWorld, want: list[Thing], journal: Path, **options: Any) -> None:
    drivers = fake_drivers(world, workers=options.pop("workers", 1))
    run_plan(diff(want, observe(drivers)), drivers, Journal(journal), **options)


def events(journal: Path) -> list[tuple[str, str, str]]:
    lines = map(json.loads, journal.read_text().splitlines())
    return [(line["event"], line["action"], line["kind"]) for line in lines]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "testbed"
    directory.mkdir()
    return directory / "journal.jsonl"


def test_it_works(journal: Path) -> None:
    world = FakeWorld()
    apply(world, things(LINE), journal)
    assert set(world.things) == set(things(LINE))
    assert not diff(things(LINE), world.things)


def test_there_is_a_fake_for_every_kind() -> None:
    assert list(fake_drivers(FakeWorld())) == list(KINDS)


def test_things_are_made_in_the_order_of_kinds_and_unmade_in_the_other(journal: Path) -> None:
    world = FakeWorld()
    apply(world, things(LINE), journal)
    made = [event[2] for event in events(journal) if event[0] == "done"]
    ranks = [[kind.__name__ for kind in KINDS].index(name) for name in made]
    assert ranks == sorted(ranks)
    journal.unlink()
    apply(world, [], journal)
    assert world.things == []
    unmade = [event[2] for event in events(journal) if event[0] == "done"]
    assert unmade.index("Container") < unmade.index("NodeNetwork") < unmade.index("Fabric")
    assert unmade[-1] == "Keys"


def test_implied_deletes_are_left_to_the_kernel(journal: Path) -> None:
    world = FakeWorld(things=things(TRIANGLE))
    apply(world, [], journal)
    assert not [word for word in world.done if word.startswith("delete port")]
    assert world.things == []


def test_a_failed_step_is_undone_itself_and_all_before_it_in_reverse(journal: Path) -> None:
    world = FakeWorld(faults={"create node 0002": VctError("no room")})
    with pytest.raises(VctError, match="no room"):
        apply(world, things(LINE), journal)
    assert world.things == []
    done = world.done.index("create node 0002")
    made, unmade = world.done[: done + 1], world.done[done + 1 :]
    assert unmade == [word.replace("create", "delete") for word in reversed(made)]


def test_a_failed_change_is_changed_back(journal: Path) -> None:
    before = things(LINE)
    world = FakeWorld(things=before, faults={"change node 0002": VctError("it broke")})
    with pytest.raises(VctError, match="it broke"):
        apply(world, things(LINE.replace('"0002": {}', '"0002": {memory: 99MiB}')), journal)
    # The fault is there when it is changed back too: what stuck is told, not raised instead.
    assert set(world.things) == set(before)


def test_what_could_not_be_undone_is_attached_to_the_first_error(journal: Path) -> None:
    world = FakeWorld(
        faults={
            "create node 0001": VctError("first", hint="try this"),
            "delete fabric vct-ring": VctError("stuck fast"),
        }
    )
    with pytest.raises(VctError) as caught:
        apply(world, things(LINE), journal)
    assert caught.value.message == "first"
    assert caught.value.hint.splitlines() == [
        "try this",
        "could not be undone: fabric vct-ring: stuck fast",
        "remove the rest: vct cleanup",
    ]
    assert ("stuck", "create", "Fabric") in events(journal)
    assert ("undone", "create", "Keys") in events(journal)  # the undoing went on


def test_users_data_that_was_deleted_is_not_made_anew_empty(journal: Path) -> None:
    world = FakeWorld(things=things(LINE), faults={"delete key pair ring": VctError("no")})
    with pytest.raises(VctError):
        apply(world, [], journal)
    assert not [thing for thing in world.things if type(thing) in KEEPSAKES]
    assert [thing for thing in world.things if isinstance(thing, Container)]


def test_a_system_error_of_a_driver_becomes_one_of_ours(journal: Path) -> None:
    world = FakeWorld(faults={"create node 0001": OSError(28, "No space left on device")})
    with pytest.raises(VctError, match="No space left"):
        apply(world, things(LINE), journal)
    assert world.things == []


def test_all_claims_come_before_the_first_change(journal: Path) -> None:
    world = FakeWorld(foreign=frozenset({"network of node 0002"}))
    with pytest.raises(RefusedError, match="network of node 0002 exists and is not ours"):
        apply(world, things(LINE), journal)
    assert world.done == []


def test_the_journal_has_a_line_for_each_beginning_and_end(journal: Path) -> None:
    apply(FakeWorld(), [Fabric(namespace="vct-ring")], journal)
    assert events(journal) == [("begin", "create", "Fabric"), ("done", "create", "Fabric")]
    line = json.loads(journal.read_text().splitlines()[0])
    assert line["key"] == "vct-ring"
    assert line["reason"] == "missing"
    assert line["pid"] == os.getpid()


def test_the_journal_says_what_failed_and_what_was_undone(journal: Path) -> None:
    world = FakeWorld(faults={"create fabric vct-ring": VctError("no")})
    with pytest.raises(VctError):
        apply(world, [Fabric(namespace="vct-ring")], journal)
    assert [event[0] for event in events(journal)] == ["begin", "failed", "undone"]
    assert json.loads(journal.read_text().splitlines()[1])["problem"] == "no"


def test_a_long_journal_begins_anew_and_keeps_the_old_one(journal: Path) -> None:
    journal.write_text("x" * (4 * 1024 * 1024 + 1))
    apply(FakeWorld(), [Fabric(namespace="vct-ring")], journal)
    assert len(events(journal)) == 2
    assert journal.with_name("journal.jsonl.1").stat().st_size > 4 * 1024 * 1024


def test_progress_hears_of_each_step_as_it_is_done_and_undone(journal: Path) -> None:
    heard: list[str] = []
    world = FakeWorld(faults={"create node 0001": VctError("no")})
    with pytest.raises(VctError):
        apply(world, things(LINE), journal, progress=lambda event, _step: heard.append(event))
    assert heard.count("begin") == heard.count("undo") == heard.count("done") + 1


def test_steps_of_one_kind_are_done_side_by_side(journal: Path) -> None:
    both = threading.Barrier(2, timeout=10)  # breaks unless two threads meet

    class Meeting(FakeDriver[Container]):
        def create(self, thing: Container) -> None:
            both.wait()
            super().create(thing)

    world = FakeWorld()
    drivers: Drivers = {
        **fake_drivers(world),
        Container: Meeting(Container, world, workers=2),
    }
    run_plan(diff(things(LINE), []), drivers, Journal(journal))
    assert set(world.things) == set(things(LINE))


def test_a_failure_side_by_side_waits_for_the_others_and_undoes_them_too(journal: Path) -> None:
    many = ", ".join(f'"{number:04x}": {{}}' for number in range(1, 9))
    world = FakeWorld(faults={"create node 0003": VctError("no")})
    with pytest.raises(VctError, match="no"):
        apply(world, things(f"nodes: {{{many}}}"), journal, workers=4)
    assert world.things == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_answered_between_steps_and_undoes_all(
    journal: Path, number: signal.Signals
) -> None:
    def interrupt(event: str, step: Step) -> None:
        if (event, step.kind) == ("begin", NodeNetwork):
            signal.raise_signal(number)

    world = FakeWorld()
    before = signal.getsignal(number)
    with pytest.raises(InterruptedByUser):
        apply(world, things(LINE), journal, progress=interrupt)
    assert world.things == []
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_stop_the_undoing(journal: Path) -> None:
    def interrupt(event: str, step: Step) -> None:
        if event == "undo" or step.kind is Container:
            signal.raise_signal(signal.SIGINT)

    world = FakeWorld()
    with pytest.raises(InterruptedByUser):
        apply(world, things(LINE), journal, progress=interrupt)
    assert world.things == []


def test_one_vct_at_a_time_works_on_a_testbed(tmp_path: Path) -> None:
    lock = tmp_path / "ring" / "lock"
    with (
        locked(lock),
        pytest.raises(LockedError, match=f"works on testbed ring .pid {os.getpid()}:"),
        locked(lock),
    ):
        pass
    with locked(lock):
        pass


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    lock = tmp_path / "ring" / "lock"
    with locked(lock):
        lock.unlink()
        with locked(lock):
            assert lock.exists()


TESTBEDS = st.sampled_from(
    ["", LINE, LINE.replace("rate", "delay").replace("1mbit", "1ms"), TRIANGLE]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=TESTBEDS, new=TESTBEDS)
def test_whatever_was_there_what_is_wanted_comes_of_it(journal: Path, old: str, new: str) -> None:
    world = FakeWorld(things=things(old) if old else [])
    want = things(new) if new else []
    apply(world, want, journal)
    assert set(world.things) == set(want)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(old=TESTBEDS, new=TESTBEDS, data=st.data())
def test_whatever_fails_all_but_users_data_is_as_before(
    journal: Path, old: str, new: str, data: st.DataObject
) -> None:
    before = things(old) if old else []
    world = FakeWorld(things=list(before))
    steps = [s for s in diff(things(new) if new else [], before).steps if not s.implied]
    if not steps:
        return
    failing = data.draw(st.sampled_from(steps))
    world.faults = {f"{failing.action} {failing.thing}": VctError("no")}
    with pytest.raises(VctError, match="no"):
        apply(world, things(new) if new else [], journal)
    kept = {thing for thing in before if type(thing) not in KEEPSAKES}
    assert {thing for thing in world.things if type(thing) not in KEEPSAKES} == kept
