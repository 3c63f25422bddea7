"""A testbed's state as a value: from what is wanted, what was seen, and who is silent."""

from __future__ import annotations

import json
from dataclasses import replace

from vct.model.load import parse_testbed
from vct.plan.things import Container, Port, Relay, Shaping, Thing, Wire
from vct.plan.wanted import BuiltImage, Facts, number, wanted
from vct.quality import Quality
from vct.report import status as report
from vct.report.status import (
    STATE_SENTENCES,
    ConfineStatus,
    NodeState,
    TestbedStatus,
    applied_quality,
)

TESTBED = parse_testbed(
    """\
name: ring
nodes: {"0001": {}, "0002": {}, "0003": {}}
links:
  - {between: ["0001", "0002"], rate: 1mbit, backward: {loss: 1%}}
  - {between: ["0002", "0003"], delay: 5ms}
  - {between: ["0003", "0001"], name: plain}
segments: [{name: roof, members: ["0001", "0003"]}]
""",
    "ring.yaml",
)
IMAGES = {("node-debian", "amd64"): BuiltImage(label="node-debian@0123", root="/images/n")}
WANT = wanted(TESTBED, number(TESTBED, None), Facts(netem=False, images=IMAGES))


def status(seen: list[Thing], silent: dict[str, str] | None = None) -> TestbedStatus:
    return report.testbed_status(TESTBED, WANT, seen, silent or {}, [], None, {})


def but(kind: type[Thing], key: str, **changes: object) -> list[Thing]:
    """All as wanted, but for one thing: changed, or gone when nothing is said of it."""
    seen = []
    for thing in WANT:
        if not (isinstance(thing, kind) and thing.key == key):
            seen.append(thing)
        elif changes:
            seen.append(replace(thing, **changes))
    return seen


def test_it_works() -> None:
    found = status(WANT)
    assert found.ready
    assert [node.state for node in found.nodes] == [NodeState.READY] * 3
    assert [link.ok for link in found.links] == [True] * 3
    assert [link.engine for link in found.links] == ["kernel", "relay", "none"]
    assert found.segments[0].ok


def test_every_state_has_a_sentence() -> None:
    assert set(STATE_SENTENCES) == set(NodeState)


def test_a_node_that_runs_and_does_not_answer_is_starting_and_says_what_was_seen() -> None:
    found = status(WANT, {"0002": "Connection refused"})
    assert found.nodes[1].state is NodeState.STARTING
    assert "(Connection refused)" in found.nodes[1].reason
    assert not found.ready


def test_a_node_that_does_not_run_is_stopped() -> None:
    found = status(but(Container, "0002", running=False))
    assert [node.state for node in found.nodes] == ["ready", "stopped", "ready"]
    assert not found.ready


def test_a_node_that_has_no_container_is_absent() -> None:
    assert status(but(Container, "0003")).nodes[2].state is NodeState.ABSENT


def test_a_node_runs_the_image_that_it_was_started_from() -> None:
    assert status(but(Container, "0001", image="node-debian@old")).nodes[0].image.endswith("@old")


def test_a_nodes_interfaces_name_their_links_and_segments() -> None:
    found = status([])
    assert found.nodes[0].interfaces == {"eth1": "0001-0002", "eth2": "plain", "eth3": "roof"}


def test_a_link_that_is_gone_is_absent_and_not_as_wanted() -> None:
    link = status(but(Wire, "plain")).links[2]
    assert (link.engine, link.ok) == ("absent", False)


def test_a_link_with_another_quality_says_what_is_applied() -> None:
    seen = but(Shaping, "0001-0002:forward", quality=Quality(rate_bps=2_000_000))
    link = status(seen).links[0]
    assert (link.forward.wanted, link.forward.applied, link.ok) == (
        "rate 1mbit",
        "rate 2mbit",
        False,
    )
    assert link.backward.wanted == link.backward.applied == "loss 1%, rate 1mbit"


def test_a_delayed_link_without_its_relay_is_not_as_wanted() -> None:
    link = status(but(Relay, "ring")).links[1]
    assert (link.engine, link.ok, link.forward.applied) == ("none", False, "unshaped")


def test_a_segment_without_one_of_its_ports_is_not_as_wanted() -> None:
    found = status(but(Port, "roof:0003"))
    assert not found.segments[0].ok
    assert not found.ready


def test_the_relay_tells_of_the_links_that_it_carries() -> None:
    engine, forward, _ = applied_quality("0002-0003", WANT)
    assert (engine, str(forward)) == ("relay", "delay 5ms")


def member(**changes: object) -> ConfineStatus:
    found = ConfineStatus(
        address="fd65:fc41:c50f:1::2",
        backend="tinc",
        gateway="",
        reachable=True,
        rtt_ms=0.5,
        set_state="production",
        state="production",
        known="production",
        sentence="The node works and runs slivers.",
        next_step="",
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_testbed_is_ready_when_its_nodes_are_what_they_are_told_to_be() -> None:
    def found(one: ConfineStatus) -> TestbedStatus:
        return report.testbed_status(TESTBED, WANT, WANT, {}, [], None, {"0001": one})

    assert found(member()).ready
    assert found(member()).nodes[0].confine == member()
    assert found(member()).nodes[1].confine is None
    assert found(member(state="safe", set_state="safe")).ready
    assert not found(member(state="safe")).ready
    assert not found(member(reachable=False)).ready


def test_the_document_is_json_with_names_that_stay() -> None:
    document = json.loads(json.dumps(status(WANT).document()))
    parts = ["name", "ready", "nodes", "links", "segments", "differences", "controller"]
    assert list(document) == parts
    assert document["nodes"][0]["state"] == "ready"
    assert document["segments"] == [{"name": "roof", "members": ["0001", "0003"], "ok": True}]
