"""Work after other work, several pieces at a time."""

from __future__ import annotations

from threading import Barrier, Event

import pytest

from vct.build.schedule import run_in_order
from vct.errors import VctError


def nothing() -> None:
    pass


def test_it_works() -> None:
    done: list[str] = []
    needs = {"top": "middle", "middle": "ground", "ground": None}

    def work(key: str) -> str:
        done.append(key)
        return key.upper()

    results, failures = run_in_order(needs, work, jobs=4, stop=nothing)
    assert done == ["ground", "middle", "top"]
    assert results == {"ground": "GROUND", "middle": "MIDDLE", "top": "TOP"}
    assert failures == {}


def test_what_does_not_need_each_other_is_done_at_the_same_time() -> None:
    both = Barrier(2, timeout=30)
    results, _ = run_in_order(
        {"a": None, "b": None}, lambda _key: both.wait() >= 0, jobs=2, stop=nothing
    )
    assert results == {"a": True, "b": True}


def test_one_at_a_time_is_one_after_the_other() -> None:
    running: list[str] = []

    def work(key: str) -> int:
        running.append(key)
        count = len(running)
        running.remove(key)
        return count

    results, _ = run_in_order(dict.fromkeys("abcd"), work, jobs=1, stop=nothing)
    assert set(results.values()) == {1}


def test_a_failure_holds_up_only_what_needs_it() -> None:
    def work(key: str) -> str:
        if key == "bad":
            raise VctError("too bad")
        return key

    needs = {"bad": None, "worse": "bad", "worst": "worse", "good": None, "better": "good"}
    results, failures = run_in_order(needs, work, jobs=2, stop=nothing)
    assert set(results) == {"good", "better"}
    assert [str(error) for error in failures.values()] == ["too bad"]


def test_an_interruption_stops_what_runs_and_begins_nothing_more() -> None:
    ended, begun = Event(), list[str]()

    def work(key: str) -> None:
        begun.append(key)
        if key == "interrupted":
            raise KeyboardInterrupt
        assert ended.wait(30)

    with pytest.raises(KeyboardInterrupt):
        run_in_order(
            {"long": None, "interrupted": None, "later": "long"}, work, jobs=2, stop=ended.set
        )
    assert ended.is_set()
    assert "later" not in begun
