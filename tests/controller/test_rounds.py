"""Nodes are told at once of new orders, and asked until they follow them; nobody waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest
from pytest_django import Settings

from tests.controller.a_node_server import REFRESH, NodeServer, Reply, a_node_server
from tests.controller.factories import a_safe_node, a_slice, a_sliver
from vct.controller.nodes.models import Node
from vct.controller.nodes.verbs import reboot
from vct.controller.state import polling
from vct.controller.state.models import heartbeat, status_of, want_poll
from vct.controller.state.orders import Orders
from vct.controller.state.rounds import Rounds
from vct.wire.states import NodeSetState

pytestmark = pytest.mark.django_db
TOLD = f"POST {REFRESH}"
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _loopback_is_the_testbed(settings: Settings) -> None:
    settings.CONFIG = replace(settings.CONFIG, mgmt_prefix="::")


@pytest.fixture(autouse=True)
def _changes_without_a_log_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests change rows without the API, which writes to the audit log."""
    changed = Orders.changed
    monkeypatch.setattr(Orders, "changed", lambda self, **_: changed(self, certainly=True))


@pytest.fixture
def server() -> Iterator[NodeServer]:
    with a_node_server() as server:
        yield server


@pytest.fixture
def node(server: NodeServer) -> Node:
    """One that says it is safe, and takes being told."""
    server.says("node/", state("safe"))
    server.is_told()
    return a_safe_node(api_base_uri=server.base)


@pytest.fixture
def rounds(node: Node) -> Rounds:
    """Everybody was asked once."""
    rounds = Rounds()
    rounds.everybody()
    return rounds


def state(word: str) -> bytes:
    return json.dumps({"state": word}).encode()


def slowly(content: bytes) -> Reply:
    """Says that, after a while."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return reply


def waits_for(event: Event) -> Reply:
    """Says nothing until then, and nothing afterwards."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        event.wait(PATIENCE_S)
        handler.close_connection = True

    return reply


def until(rounds: Rounds, node: Node, value: str) -> None:
    """Works as the worker does, until the node is seen to be that."""
    end = time.monotonic() + PATIENCE_S
    while status_of(node).value != value:
        assert time.monotonic() < end, status_of(node).value
        rounds.prompt()
        time.sleep(0.02)


def test_it_works(server: NodeServer, node: Node, rounds: Rounds) -> None:
    server.is_told(lambda: server.says("node/", state("production")))
    node.change(set_state=NodeSetState.PRODUCTION)
    server.asked.clear()
    until(rounds, node, "production")
    assert server.asked[0] == TOLD
    assert server.asked.count(TOLD) == 1


def test_who_follows_late_is_seen_as_well(server: NodeServer, node: Node, rounds: Rounds) -> None:
    node.change(set_state=NodeSetState.PRODUCTION)
    asked = server.asked

    def reply(handler: BaseHTTPRequestHandler) -> None:
        body = state("production" if len(asked) > 4 else "safe")
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.replies["/confine/api/node/"] = reply
    until(rounds, node, "production")


def test_nobody_is_told_twice(server: NodeServer, node: Node, rounds: Rounds) -> None:
    reboot(node)
    for _ in range(3):
        rounds.prompt()
    assert server.asked.count(TOLD) == 1


def test_many_changes_at_a_time_are_told_together(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    now = 100.0
    rounds.steady = lambda: now
    for _ in range(8):
        reboot(node)
        rounds.prompt()
        now += 0.25
    assert server.asked.count(TOLD) == 2
    now += 1
    rounds.prompt()
    assert server.asked.count(TOLD) == 3


def test_after_a_start_nobody_is_told_what_it_knows(server: NodeServer, node: Node) -> None:
    rounds = Rounds()
    rounds.prompt()
    rounds.everybody()
    assert TOLD not in server.asked


def test_who_fetches_something_and_is_behind_is_followed(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    node.change(set_state=NodeSetState.PRODUCTION)
    rounds.everybody()
    server.says("node/", state("production"))
    heartbeat(node)
    until(rounds, node, "production")


def test_who_fetches_something_and_is_not_behind_is_not_asked(node: Node, rounds: Rounds) -> None:
    heartbeat(node)
    assert rounds.prompt() == (0, 0)


def test_a_node_that_hangs_does_not_hold_up_others(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    going_on = Event()
    with a_node_server() as slow:
        slow.replies["/confine/api/node/"] = waits_for(going_on)
        a_safe_node(node.group, api_base_uri=slow.base)
        server.is_told(going_on.set)

        def stop() -> bool:
            """Called between two looks: the change comes while the slow one is waited for."""
            if slow.asked and not going_on.is_set():
                Node.objects.get(pk=node.pk).change(description="moved")
            return False

        rounds.stopping = stop
        rounds.everybody()
    assert TOLD in server.asked


def test_what_comes_after_a_look_is_not_lost(
    server: NodeServer, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Being told and answering take longer than the time between two looks."""
    monkeypatch.setattr("vct.controller.state.rounds.LOOK_S", 0.01)
    sliver = a_sliver(a_slice(node.group), node)
    rounds = Rounds()
    rounds.everybody()
    server.is_told(lambda: time.sleep(0.2))
    replies = {"/confine/api/node/": "production", f"/confine/api/slivers/{sliver.pk}/": "started"}
    for path, word in replies.items():
        server.replies[path] = slowly(state(word))
    node.change(set_state=NodeSetState.PRODUCTION)
    until(rounds, node, "production")
    assert status_of(sliver).value == "started"


def test_a_round_ends_even_if_there_is_always_somebody_who_hangs(
    server: NodeServer, node: Node, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vct.controller.state.rounds.INTAKE_S", 0)
    with a_node_server() as slow:
        slow.replies["/confine/api/node/"] = waits_for(released := Event())
        a_safe_node(node.group, api_base_uri=slow.base)

        def stop() -> bool:
            if slow.asked and not released.is_set():
                reboot(node)
                released.set()
            return False

        rounds.stopping = stop
        rounds.everybody()
    assert TOLD not in server.asked
    rounds.prompt()
    assert TOLD in server.asked


def test_who_hangs_when_it_is_wanted_is_waited_for_shortly(
    node: Node, rounds: Rounds, server: NodeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "URGENT_S", 0.1)
    server.replies["/confine/api/node/"] = waits_for(ended := Event())
    want_poll(node)
    assert rounds.prompt() == (1, 0)
    ended.set()
    assert "TimeoutError" in status_of(node).metadata["exception"]


def test_who_cannot_be_told_is_in_the_log_once(
    server: NodeServer, node: Node, rounds: Rounds, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    rounds.steady = lambda: now
    del server.replies[TOLD]
    with caplog.at_level("INFO", "vct.controller.state.rounds"):
        for _ in range(3):
            reboot(node)
            rounds.prompt()
            now += 2
    assert [line.count("404") for line in caplog.messages] == [1]
    assert f"{node.pk:04x}" in caplog.text
    server.is_told()
    reboot(node)
    rounds.prompt()
    now += 2
    del server.replies[TOLD]
    reboot(node)
    rounds.prompt()
    assert len(caplog.messages) == 2


def test_a_node_that_does_not_say_anything_to_it_is_given_up(
    server: NodeServer, node: Node, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "TELL_S", 0.1)
    ended = Event()
    server.replies[TOLD] = waits_for(ended)
    reboot(node)
    rounds.prompt()
    ended.set()
    assert rounds._deaf == {node.pk}


def test_others_than_the_testbeds_are_not_told(
    server: NodeServer, node: Node, rounds: Rounds, settings: Settings
) -> None:
    settings.CONFIG = replace(settings.CONFIG, mgmt_prefix="fd65:fc41:c50f::")
    reboot(node)
    rounds.prompt()
    assert TOLD not in server.asked


def test_a_node_without_an_api_is_not_told(node: Node, rounds: Rounds) -> None:
    node.change(api_base_uri="")
    rounds.prompt()
    assert rounds._deaf == set()


def test_who_is_asked_for_by_people_is_asked_once(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    want_poll(node)
    assert rounds.prompt() == (1, 1)
    assert rounds.prompt() == (0, 0)


def test_who_was_never_heard_of_is_told_nothing_until_it_fetches_something(
    server: NodeServer, node: Node
) -> None:
    rounds = Rounds()
    rounds.prompt()
    node.change(set_state=NodeSetState.PRODUCTION)
    assert rounds.prompt() == (0, 0)
    assert server.asked == []
    heartbeat(node)
    server.says("node/", state("production"))
    until(rounds, node, "production")
    reboot(node)
    rounds.prompt()
    assert server.asked.count(TOLD) == 1
