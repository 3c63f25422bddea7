"""What an update of nodes does, and in which order, with containers that only say what they do."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from vct.apply.loop import quiet
from vct.drivers import node_probe
from vct.drivers.node_systems import Systems, load_systems
from vct.errors import RefusedError, UsageError, VctError
from vct.model.testbed import Node
from vct.paths import Home, TestbedPaths
from vct.plan.things import Container
from vct.verbs import node_health, node_update
from vct.verbs import node_update_plan as planning
from vct.verbs.node_update import Outcome
from vct.verbs.node_update_plan import Goal, Update

NODE = Node(id="0001")
HAVE = Container(
    node="0001",
    namespace="vct-ring-0001",
    hostname="rd0001",
    image="node-debian@old",
    root="/images/old",
    arch="amd64",
    memory_mib=256,
)
NEVER_UPDATED = Systems()
NEW = Goal(label="node-debian@new", root=Path("/images/new"))


def job(have: Container = HAVE, systems: Systems = NEVER_UPDATED, goal: Goal = NEW) -> Update:
    # What the file names may have been built anew since the node was started.
    want = replace(HAVE, image="node-debian@new", root="/images/new", running=True)
    return planning._plan(NODE, want, have, systems, goal)


# --- planning ------------------------------------------------------------------------------------


def test_it_works() -> None:
    update = job()
    assert (update.now.root, update.now.system) == ("/images/old", 1)
    assert (update.new.root, update.new.system) == ("/images/new", 2)
    assert update.new.fallback == "1:/images/old"
    assert update.changes


def test_what_a_node_runs_is_what_it_goes_back_to_not_what_its_image_is_by_now() -> None:
    assert job().now.image == "node-debian@old"


def test_a_node_that_has_the_image_has_nothing_to_do() -> None:
    assert not job(goal=Goal(label="node-debian@old", root=Path("/images/old"))).changes


def test_a_trial_that_was_cut_off_is_no_base() -> None:
    trying = job().trying
    cut_off = replace(HAVE, root="/images/new", system=2, fallback="1:/images/old")
    want = replace(HAVE)
    update = planning._plan(NODE, want, cut_off, trying, NEW)
    assert (update.now.root, update.now.system, update.now.fallback) == ("/images/old", 1, "")
    assert update.new.system == 3


def test_a_stopped_node_stays_stopped_if_it_falls_back() -> None:
    update = job(replace(HAVE, running=False))
    assert (update.now.running, update.new.running) == (False, True)


def test_there_is_no_going_back_before_the_first_update() -> None:
    with pytest.raises(RefusedError, match="no system to go back to"):
        planning.to_previous(NODE, Systems())


def test_there_is_no_going_back_to_an_image_that_is_gone() -> None:
    with pytest.raises(RefusedError, match="is gone"):
        planning.to_previous(NODE, job().trying.taken())


def test_going_back_is_to_the_system_before(tmp_path: Path) -> None:
    systems = job(replace(HAVE, root=str(tmp_path))).trying.taken()
    goal = planning.to_previous(NODE, systems)
    assert (goal.number, goal.root) == (1, tmp_path)


@pytest.mark.parametrize("digest", ["", "12345", "ABCDEF0", "../../etc", "0" * 65])
def test_what_is_no_digest_is_refused(tmp_path: Path, digest: str) -> None:
    with pytest.raises(UsageError):
        planning.to_digest(tmp_path, digest)


def test_a_digest_that_nothing_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image"):
        planning.to_digest(tmp_path, "0123456789")


# --- trying --------------------------------------------------------------------------------------


@dataclass
class Told:
    """What was done, in order, and what shall go wrong."""

    paths: TestbedPaths
    done: list[str] = field(default_factory=list)
    problem: str = ""
    on_create: Callable[[Container], None] = lambda _thing: None

    def stop(self, node: str) -> None:
        self.done.append(f"stop, trial {self.record().trial}")

    def create(self, thing: Container) -> None:
        self.done.append(f"start {thing.root} as {thing.system}, boots {self.record().current}")
        self.on_create(thing)

    def configure(self, thing: Container) -> None:
        self.done.append(f"configure {thing.root}{thing.fallback}, boots {self.record().current}")

    def record(self) -> Systems:
        return load_systems(self.paths.node("0001"))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    paths = Home(root=tmp_path).testbed("ring")
    paths.node("0001").root.mkdir(parents=True)
    told = Told(paths)
    monkeypatch.setattr(node_update, "ContainerDriver", lambda _paths: told)
    monkeypatch.setattr(node_update, "patient", lambda _paths, _node: None)
    monkeypatch.setattr(node_update, "wait_until_well", lambda *_: told.problem)
    monkeypatch.setattr(node_update, "answers_ssh", lambda *_: "")
    monkeypatch.setattr(node_update, "last_seen", lambda *_: "its console")
    return told


def tried(told: Told, update: Update | None = None) -> node_update.Result:
    bench = node_update._Bench(told.paths, 5, lambda: False, quiet)
    return bench.run(update or job())


def test_a_well_system_is_kept(told: Told) -> None:
    result = tried(told)
    assert (result.outcome, result.image) == (Outcome.UPDATED, "node-debian@new")
    assert told.done == [
        "stop, trial 2",
        "start /images/new as 2, boots 1",
        "configure /images/new, boots 2",
    ]
    assert told.record().previous == 1


def test_a_system_that_is_not_well_is_left(told: Told) -> None:
    told.problem = "its ssh server does not answer"
    result = tried(told)
    assert (result.outcome, result.image) == (Outcome.FELL_BACK, "node-debian@old")
    assert (result.reason, result.seen) == (told.problem, "its console")
    assert told.done == [
        "stop, trial 2",
        "start /images/new as 2, boots 1",
        "stop, trial 2",
        "start /images/old as 1, boots 1",
    ]
    assert told.record().trial == 0


@pytest.mark.parametrize("error", [VctError("it did not start"), OSError(errno.ENOSPC, "full")])
def test_a_system_that_does_not_start_is_left(told: Told, error: Exception) -> None:
    def fail(thing: Container) -> None:
        if thing.fallback:
            raise error

    told.on_create = fail
    result = tried(told)
    assert result.outcome is Outcome.FELL_BACK
    assert result.reason
    assert told.done[-1] == "start /images/old as 1, boots 1"


def test_with_no_room_for_the_record_the_node_is_not_touched(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(node_update, "save_systems", full)
    with pytest.raises(VctError, match="No space left"):
        tried(told)
    assert told.done == []


def test_a_way_back_that_fails_too_is_an_error(told: Told) -> None:
    def fail(_thing: Container) -> None:
        raise VctError("the host is on fire")

    told.on_create = fail
    with pytest.raises(VctError, match="on fire"):
        tried(told)
    assert told.record().current == 1


# --- the agent's word ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"state": "safe"}, ""),
        ({"state": "production", "more": [1]}, ""),
        ({"state": "failure"}, "its agent says that the node is in state failure"),
        ({}, "its agent answers without a state"),
        ({"state": 1}, "its agent answers without a state"),
        ({"state": "\x1b[2J"}, "its agent answers without a state"),
        (None, "its agent does not answer: Connection refused"),
    ],
)
def test_only_a_word_counts_as_a_state(
    document: dict[str, object] | None, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = node_probe.Answer(document=document, seen="Connection refused")
    monkeypatch.setattr(node_probe, "ask", lambda *_: {"0001": answer})
    assert node_health.agent_says(Home(root=Path("/h")).testbed("ring"), "0001") == word


def test_states_that_are_well_are_the_two_that_do_something() -> None:
    assert frozenset({"safe", "production"}) == node_health.WELL


# --- health --------------------------------------------------------------------------------------


@dataclass
class Sick:
    """A node's state, the pid of its init, and what its ssh server and its agent say, look by look;
    the last word stays."""

    looks: list[tuple[str, int, str, str]]

    def state(self, _node: str) -> tuple[str, int]:
        return self.looks[0][:2]

    def ssh(self, *_: object) -> str:
        return self.looks[0][2]

    def agent(self, *_: object) -> str:
        return self.looks[0][3]

    def sleep(self, _seconds: float) -> None:
        if len(self.looks) > 1:
            self.looks.pop(0)


OFF, MUTE = "its ssh server does not answer", "its agent does not answer"


@pytest.mark.parametrize(
    ("looks", "agent", "word"),
    [
        ([("RUNNING", 7, "", "")], False, ""),
        ([("RUNNING", 7, OFF, ""), ("RUNNING", 7, "", "")], False, ""),
        ([("RUNNING", 7, OFF, "")], False, f"after 0.5 s {OFF}"),
        ([("RUNNING", 7, "", MUTE), ("RUNNING", 7, "", "")], True, ""),
        ([("RUNNING", 7, "", MUTE)], True, f"after 0.5 s {MUTE}"),
        ([("RUNNING", 7, "", MUTE)], False, ""),
        ([("STOPPED", -1, "", "")], False, "its system ended by itself"),
        ([("RUNNING", 8, "", "")], False, "it rebooted by itself"),
        ([("RUNNING", 7, "", ""), ("RUNNING", 8, "", "")], False, "it rebooted by itself"),
    ],
)  # fmt: skip
def test_a_node_is_well_when_it_runs_and_answers_for_a_while(
    looks: list[tuple[str, int, str, str]], agent: bool, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, sick = iter(range(100)), Sick(looks)
    monkeypatch.setattr(node_health, "ContainerDriver", lambda _paths: sick)
    monkeypatch.setattr(node_health, "answers_ssh", sick.ssh)
    monkeypatch.setattr(node_health, "agent_says", sick.agent)
    monkeypatch.setattr(time, "sleep", sick.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock) / 4)
    who = node_health.Patient(node="0001", pid=7, agent=agent)
    paths = Home(root=Path("/h")).testbed("ring")
    assert node_health.wait_until_well(paths, who, 0.5, lambda: False) == word


def test_waiting_ends_when_somebody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sick = Sick([("RUNNING", 7, OFF, "")])
    monkeypatch.setattr(node_health, "ContainerDriver", lambda _paths: sick)
    who = node_health.Patient(node="0001", pid=7, agent=False)
    paths = Home(root=Path("/h")).testbed("ring")
    assert node_health.wait_until_well(paths, who, 60, lambda: True) == "interrupted"


# --- several nodes -------------------------------------------------------------------------------


def test_after_a_node_that_fell_back_no_other_is_begun(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.problem = OFF
    jobs = [replace(job(), node=f"000{number}") for number in range(1, 4)]
    for one in jobs:
        told.paths.node(one.node).root.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(node_update, "_at_work", lambda *_: nullcontext())
    monkeypatch.setattr(node_update, "plan_updates", lambda *_: jobs)
    monkeypatch.setattr(node_update, "WORKERS", 1)
    results = node_update.update(Home(), told.paths, "all", planning.to_previous, timeout_s=1)
    assert [result.outcome for result in results] == [
        Outcome.FELL_BACK,
        Outcome.LEFT,
        Outcome.LEFT,
    ]
