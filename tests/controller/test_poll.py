"""One round: nodes are asked over IPv6, and what they say is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.controller.a_node_server import NodeServer, a_node_server
from tests.controller.factories import a_node, a_safe_node, a_slice, a_sliver
from vct.controller.nodes.models import Node
from vct.controller.state import poller, polling
from vct.controller.state.models import Status, StatusChange, heartbeat, status_of, want_poll
from vct.controller.state.rounds import Rounds

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback_is_the_testbed(settings: Settings) -> None:
    settings.CONFIG = replace(settings.CONFIG, mgmt_prefix="::")


@pytest.fixture
def server() -> Iterator[NodeServer]:
    with a_node_server() as server:
        yield server


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


@pytest.fixture
def node(server: NodeServer) -> Node:
    """One whose API is the server's."""
    return a_safe_node(api_base_uri=server.base)


def said(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_it_works(server: NodeServer, node: Node, rounds: Rounds) -> None:
    server.says("node/", said(state="production", soft_version="master.7-2026"), etag='"1"')
    assert rounds.everybody() == (1, 1)
    status = status_of(node)
    assert status.current() == "production"
    assert (status.soft_version, status.etag) == ("master.7-2026", '"1"')
    assert status.metadata["status_code"] == 200
    assert not status.verified


def test_slivers_are_asked_by_their_own_number(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    sliver = a_sliver(a_slice(node.group), node)
    server.says("node/", said(state="production"))
    server.says(f"slivers/{sliver.pk}/", said(state="started"))
    assert rounds.everybody() == (2, 2)
    assert status_of(sliver).current() == "started"


def test_states_of_slivers_are_not_those_of_nodes(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    sliver = a_sliver(a_slice(node.group), node)
    server.says("node/", said(state="started"))
    server.says(f"slivers/{sliver.pk}/", said(state="production"))
    rounds.everybody()
    assert {status.value for status in Status.objects.all()} == {"unknown"}


def test_what_did_not_change_is_not_sent_again(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    server.says("node/", said(state="safe", uptime=7), etag='"1"')
    rounds.everybody()
    first = status_of(node)
    rounds.everybody()
    status = status_of(node)
    assert status.value == "safe"
    assert status.data == {"state": "safe", "uptime": 7}
    assert first.tried_on is not None
    assert status.tried_on is not None
    assert status.tried_on > first.tried_on
    assert StatusChange.objects.count() == 1


@pytest.mark.parametrize("tag", ['"caf\u00e9"', '"\x01"', f'"{"x" * 127}"'])
def test_a_tag_that_cannot_be_sent_back_is_not_kept(
    server: NodeServer, node: Node, rounds: Rounds, tag: str
) -> None:
    server.says("node/", said(state="safe"), etag=tag)
    for _ in range(2):
        assert rounds.everybody() == (1, 1)
    assert (status_of(node).value, status_of(node).etag) == ("safe", "")


@pytest.mark.parametrize("depth", [polling.DEPTH_MAX, 920])
def test_what_is_nested_deeply_is_no_document(depth: int) -> None:
    inner = b"[" * depth + b"]" * depth
    assert polling.parse_document(b'{"a": %s}' % inner) is None
    assert polling.parse_document(b'{"a": [[]]}') == {"a": [[]]}


def test_a_node_that_does_not_answer_is_offline_and_so_are_its_slivers(rounds: Rounds) -> None:
    with a_node_server() as server:
        node = a_safe_node(api_base_uri=server.base)
    sliver = a_sliver(a_slice(node.group), node)
    assert rounds.everybody() == (2, 0)
    assert (status_of(node).value, status_of(sliver).value) == ("offline", "offline")
    assert "Connect" in status_of(node).metadata["exception"]


def test_what_it_said_before_is_kept_while_it_is_offline(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    server.says("node/", said(state="production", uptime=7))
    rounds.everybody()
    server.hangs_up("node/")
    rounds.everybody()
    status = status_of(node)
    assert (status.value, status.data) == ("offline", {"state": "production", "uptime": 7})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b'"production"',
        b'{"state": ["production"]}',
        b'{"state": "melted"}',
        b'{"state": "safe", "x": "\\u0000"}',
        b'{"state": "safe", "x": "\\ud800"}',
        b'{"state": "safe", "x": NaN}',
        b'{"state": "safe", "x": 1e999}',
        b'{"state": "safe", "x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_state_is_unknown(
    server: NodeServer, node: Node, content: bytes, rounds: Rounds
) -> None:
    server.says("node/", content)
    rounds.everybody()
    assert status_of(node).value == "unknown"


def test_an_endless_answer_ends(server: NodeServer, node: Node, rounds: Rounds) -> None:
    server.says("node/", b" " * (polling.ANSWER_MAX + 1))
    rounds.everybody()
    assert "more than" in status_of(node).metadata["exception"]


def test_an_answer_that_drips_ends(
    server: NodeServer, node: Node, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    monkeypatch.setattr(polling, "TOTAL_S", 0.3)

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:  # until who asks hangs up
            handler.wfile.write(b" ")

    server.replies["/confine/api/node/"] = drip
    monkeypatch.setattr(polling, "ANSWER_MAX", 1 << 40)
    rounds.everybody()
    assert "TimeoutError" in status_of(node).metadata["exception"]


def test_nobody_is_led_elsewhere(server: NodeServer, node: Node, rounds: Rounds) -> None:
    def redirect(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/secret")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.replies["/confine/api/node/"] = redirect
    rounds.everybody()
    assert server.asked == ["/confine/api/node/"]
    assert status_of(node).value == "unknown"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://127.0.0.1:8000/", "not at an IPv6 address"),
        ("http://localhost/", "not at an IPv6 address"),
        ("http://[fe80::1%eth0]/", "not in the testbed's networks"),
        ("http://[2001:db8::1]/", "not in the testbed's networks"),
        ("http://[::ffff:127.0.0.1]/", "not in the testbed's networks"),
        ("file://[::1]/etc/shadow", "not http"),
        ("http://[::1/", "not at an IPv6 address"),
        ("", "not at an IPv6 address"),
        ("http://[fd65:fc41:c50f:1::2]:65536/", "not at an IPv6 address and port"),
    ],
)
def test_other_machines_than_the_testbeds_are_not_asked(
    settings: Settings, uri: str, words: str
) -> None:
    settings.CONFIG = replace(settings.CONFIG, mgmt_prefix="fd65:fc41:c50f::")
    assert words in polling.why_not_asked(uri, poller.networks())
    assert polling.why_not_asked("https://[fd65:fc41:c50f:1::2]/x", poller.networks()) == ""


def test_a_node_without_an_api_is_asked_where_the_original_has_it() -> None:
    node = a_node(pk=0xA12)
    assert poller.api_base(node) == "https://[::a12:0:0:0:2]/confine/api/"


def test_only_what_somebody_wants_to_know_now_is_asked(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    server.says("node/", said(state="safe"))
    other = a_safe_node(api_base_uri=f"{server.base}other/")
    assert rounds.prompt() == (0, 0)
    want_poll(node)
    assert rounds.prompt() == (1, 1)
    assert rounds.prompt() == (0, 0)
    want_poll(a_sliver(a_slice(other.group), other))
    assert rounds.prompt() == (2, 2)


def test_a_lost_node_that_shows_up_is_asked_at_once(
    server: NodeServer, node: Node, rounds: Rounds
) -> None:
    server.hangs_up("node/")
    rounds.everybody()
    server.says("node/", said(state="safe"))
    heartbeat(node)
    assert rounds.prompt() == (1, 1)
    assert status_of(node).value == "safe"
    heartbeat(node)
    assert rounds.prompt() == (0, 0)


def test_a_round_ends_when_it_is_told_to(server: NodeServer, node: Node) -> None:
    assert Rounds(lambda: True).everybody() == (0, 0)


def test_a_node_that_is_deleted_meanwhile_is_no_fault(
    server: NodeServer, node: Node, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    store = poller.store

    def delete_and_store(*args: Any) -> None:
        node.delete()
        store(*args)

    server.says("node/", said(state="safe"))
    monkeypatch.setattr(poller, "store", delete_and_store)
    assert rounds.everybody() == (1, 1)
    assert not Status.objects.exists()


def test_silence_is_a_crash_after_two_hours(server: NodeServer, rounds: Rounds) -> None:
    ago = timezone.now() - timedelta(hours=3)
    node = a_safe_node(api_base_uri=server.base, made_on=ago)
    server.says("node/", said(state="production"))
    rounds.everybody()
    assert status_of(node).value == "crashed"
    heartbeat(node)
    rounds.everybody()
    assert status_of(node).value == "production"


def test_after_a_sleep_of_the_host_nodes_have_not_crashed(
    server: NodeServer, rounds: Rounds
) -> None:
    ago = timezone.now() - timedelta(hours=9)
    node = a_safe_node(api_base_uri=server.base, made_on=ago)
    heartbeat(node, ago)
    server.says("node/", said(state="production"))
    poller.shift_times(timedelta(hours=9))
    rounds.everybody()
    assert status_of(node).value == "production"


def test_a_round_needs_few_queries(
    server: NodeServer,
    rounds: Rounds,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Any,
) -> None:
    group = a_safe_node(api_base_uri=server.base).group
    for _ in range(9):
        a_safe_node(group, api_base_uri=server.base)
    server.says("node/", said(state="safe"))
    monkeypatch.setattr("vct.controller.state.rounds.LOOK_S", 30)
    rounds.everybody()
    with django_assert_max_num_queries(10):
        assert rounds.everybody() == (10, 10)


def test_there_being_nothing_to_do_takes_two_queries(
    rounds: Rounds, django_assert_num_queries: Any
) -> None:
    a_safe_node()
    rounds.prompt()
    with django_assert_num_queries(2):
        assert rounds.prompt() == (0, 0)
