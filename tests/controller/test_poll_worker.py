"""The worker: what it does when, and what a clock that jumps does to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from tests.controller.factories import a_slice
from vct.controller import worker
from vct.controller.audit.models import Entry
from vct.controller.slices.models import Slice, today
from vct.controller.state import life, poller
from vct.controller.state.management.commands import work
from vct.controller.worker import STEADY_S, Clock, Job, Worker


class Times:
    """Two clocks that tests move."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.mark.django_db
def test_it_works(client: Client) -> None:
    one = Worker()
    one.tick()
    assert client.get("/health/").json() == {"status": "ok", "worker": "ok"}
    assert all(job.at > 0 for job in one.jobs)


def test_jobs_are_done_when_they_are_due(times: Times) -> None:
    done: list[float] = []
    one = Worker(times.clock())
    one.jobs = [Job("count", 20, lambda: done.append(times.steady))]
    for _ in range(45):
        one.tick()
        times.pass_by(1)
    assert done == [50, 70, 90]


def test_who_ends_begins_no_other_job(times: Times) -> None:
    done: list[str] = []
    one = Worker(times.clock(), stopping=lambda: len(done) == 1)
    one.jobs = [Job(name, 20, lambda: done.append("x")) for name in ("first", "second")]
    one.tick()
    assert done == ["x"]


def test_a_job_that_fails_does_not_stop_the_others(times: Times) -> None:
    done: list[str] = []

    def fail() -> None:
        raise OperationalError("database is locked")

    one = Worker(times.clock())
    one.jobs = [Job("bad", 20, fail), Job("good", 20, lambda: done.append("good"))]
    one.tick()
    assert done == ["good"]


@pytest.mark.parametrize("jump", [-86_400.0, 3600.0, 9 * 3600.0])
def test_a_jump_is_noticed_once(times: Times, jump: float) -> None:
    clock = times.clock()
    times.pass_by(7)
    assert clock.jump_s() == 0
    times.wall += jump
    assert clock.jump_s() == jump
    assert clock.jump_s() == 0


def test_drift_is_no_jump(times: Times) -> None:
    clock = times.clock()
    for _ in range(100):
        times.pass_by(1)
        times.wall += 0.01
        assert clock.jump_s() == 0


def test_what_was_seen_moves_with_the_clock(times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[timedelta] = []
    monkeypatch.setattr(poller, "shift_times", moved.append)
    one = Worker(times.clock())
    one.jobs = []
    times.wall += 7200
    one.tick()
    assert moved == [timedelta(hours=2)]


@pytest.mark.django_db
def test_slices_that_have_ended_are_deleted_and_it_is_written_down(times: Times) -> None:
    a_slice(name="ended", expires_on=today())
    a_slice(name="lasts", expires_on=today() + timedelta(days=1))
    one = Worker(times.clock())
    times.pass_by(STEADY_S)
    one.delete_ended()
    assert [one.name for one in Slice.objects.all()] == ["lasts"]
    entry = Entry.objects.get()
    assert (entry.actor_name, entry.action, entry.object_name) == (
        "the controller",
        "delete",
        "ended",
    )


@pytest.mark.django_db
def test_nothing_is_deleted_on_the_word_of_a_clock_that_jumped(times: Times) -> None:
    a_slice(name="ended", expires_on=today())
    one = Worker(times.clock())
    one.delete_ended()
    times.pass_by(STEADY_S)
    times.wall += 40 * 86_400
    one.clock.jump_s()
    one.delete_ended()
    assert Slice.objects.exists()
    times.pass_by(STEADY_S)
    one.delete_ended()
    assert not Slice.objects.exists()


@pytest.mark.django_db
def test_who_should_be_warned_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    a_slice(name="brief", expires_on=today() + timedelta(days=3))
    with caplog.at_level("INFO"):
        worker.warn()
    assert "slice brief of group" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(("age_s", "words"), [(0, "ok"), (60, "ok"), (61, "late"), (-500, "ok")])
def test_a_worker_that_is_not_heard_of_is_late(age_s: int, words: str) -> None:
    now = timezone.now()
    life.beat(now - timedelta(seconds=age_s))
    assert life.condition(now) == words


def test_there_is_one_worker_for_a_testbed(tmp_path: Path) -> None:
    with work.the_only_one(tmp_path), pytest.raises(CommandError, match="another worker"):
        work.the_only_one(tmp_path).__enter__()
    with work.the_only_one(tmp_path):
        pass
