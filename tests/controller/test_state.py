"""What is concluded from what was seen, and its bounded history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.controller.factories import a_node, a_sliver
from vct.controller.state import models, rules
from vct.controller.state.models import heartbeat, record, status_of
from vct.wire.states import NodeState, SliverState

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.django_db
def test_it_works() -> None:
    node = a_node(made_on=NOW)
    status = record(node, NodeState.SAFE, now=NOW, verified=True)
    assert status.current(NOW) == NodeState.SAFE
    assert status_of(node).verified
    assert [change.value for change in status.history.all()] == [NodeState.SAFE]


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ({"state": "production"}, "production"),
        ({"state": "melted"}, "unknown"),
        ({"state": 3}, "unknown"),
        ({}, "unknown"),
        ([], "unknown"),
        (None, "unknown"),
    ],
)
def test_only_published_states_are_taken(answer: object, value: str) -> None:
    assert rules.value_of_answer(answer, list(NodeState)) == value


@pytest.mark.parametrize("value", NodeState)
def test_silence_of_two_hours_is_a_crash_but_for_a_failure(value: NodeState) -> None:
    then = NOW - 2 * HOUR
    assert rules.concluded(value, seen_on=then, made_on=then, now=NOW) == value
    later = NOW + timedelta(seconds=1)
    crashed = rules.concluded(value, seen_on=then, made_on=then, now=later)
    assert crashed == (NodeState.FAILURE if value is NodeState.FAILURE else NodeState.CRASHED)


def test_silence_counts_from_the_beginning_if_there_never_was_more() -> None:
    concluded = rules.concluded("safe", seen_on=None, made_on=NOW - 3 * HOUR, now=NOW)
    assert concluded == NodeState.CRASHED


@pytest.mark.parametrize(("age_s", "shown"), [(70, "safe"), (71, "nodata"), (-500, "safe")])
def test_what_is_old_is_no_data(age_s: int, shown: str) -> None:
    tried_on = NOW - timedelta(seconds=age_s)
    assert rules.current("safe", tried_on=tried_on, now=NOW, interval_s=20) == shown


@pytest.mark.django_db
def test_a_heartbeat_keeps_a_node_alive() -> None:
    node = a_node(made_on=NOW - 5 * HOUR)
    assert record(node, NodeState.SAFE, now=NOW).value == NodeState.CRASHED
    heartbeat(node, NOW)
    assert record(node, NodeState.SAFE, now=NOW).value == NodeState.SAFE


@pytest.mark.django_db
def test_history_has_changes_only_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "HISTORY_MAX", 3)
    sliver = a_sliver(made_on=NOW)
    for minute, value in enumerate([*SliverState][:6]):
        for _ in range(2):
            record(sliver, value, now=NOW + timedelta(minutes=minute))
    history = status_of(sliver).history
    assert [change.value for change in history.all()] == ["fail_start", "deployed", "fail_deploy"]
