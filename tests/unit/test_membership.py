"""How nodes stand with their controller: from what it heard and what they say, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vct.drivers import node_probe
from vct.drivers.node_probe import Answer
from vct.errors import InterruptedByUser, NotReadyError
from vct.model.load import parse_testbed
from vct.paths import Home, TestbedPaths
from vct.report.status import ConfineStatus
from vct.verbs import membership
from vct.verbs.controller import Registered
from vct.verbs.enrolment import Enrolled
from vct.verbs.membership import Look, member, members, wait_members

TESTBED = parse_testbed(
    'name: ring\nnodes: {"0001": {}, "0002": {gateway: "0001"}}\n'
    'controller: {}\nmanagement: {gateways: ["0001"]}\n',
    "ring.yaml",
)
ONE, TWO = TESTBED.nodes
WELL = {"state": "production", "set_state": "production", "errors": []}
HEARD = {"state": "production", "set_state": "production"}


def says(document: Mapping[str, Any] | None = None, **changes: Any) -> Answer:
    return Answer(reachable=True, rtt_ms=0.5, document={**(document or WELL), **changes}, seen="")


def standing(
    heard: Mapping[str, Any] = HEARD, answer: Answer | None = None, **changes: bool
) -> ConfineStatus:
    return member(TESTBED, TWO, Look(heard=heard, answer=answer or says(), **changes))


def test_it_works() -> None:
    found = standing()
    assert found.well
    assert (found.address, found.gateway, found.rtt_ms) == ("fd65:fc41:c50f:2::2", "0001", 0.5)
    assert (found.set_state, found.state, found.known) == ("production",) * 3
    assert found.sentence == "The node works and runs slivers."
    assert found.next_step == ""


def test_a_node_without_firmware_says_how_it_gets_it() -> None:
    found = standing(enrolled=False, answer=Answer())
    assert "never enrolled" in found.sentence
    assert found.next_step == "vct node create 0002"


def test_a_node_that_does_not_run_is_to_be_started() -> None:
    found = standing(running=False, local=False, answer=Answer())
    assert (found.well, found.next_step) == (False, "vct node start 0002")
    assert not standing({}, running=False, answer=Answer()).reachable


def test_an_order_that_is_not_carried_out_is_told() -> None:
    found = standing(HEARD | {"set_state": "safe"})
    assert not found.well
    assert "told safe" in found.sentence


def test_an_error_of_the_nodes_own_is_told_with_its_member() -> None:
    error = {"member": "direct_ifaces", "message": "there is no eth9"}
    found = standing(answer=says(state="debug", errors=[error, "words"]))
    assert found.errors == ("direct_ifaces: there is no eth9",)
    assert "there is no eth9" in found.sentence


def test_a_silent_node_is_not_what_the_controller_last_heard() -> None:
    found = standing(answer=Answer(seen="No route to host"))
    assert (found.state, found.known) == ("", "production")
    assert "cannot be reached in the management network" in found.sentence


def test_without_a_controller_the_nodes_own_word_counts() -> None:
    assert standing({}).set_state == "production"
    found = standing({}, Answer(seen="no answer"))
    assert found.sentence.startswith("Neither the controller nor the node")


def test_all_nodes_are_asked_that_run(paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    def ask(_namespace: str, addresses: Mapping[str, str], _timeout: float) -> dict[str, Answer]:
        asked.update(addresses)
        return {node: says() for node in addresses}

    monkeypatch.setattr(membership, "hear", lambda _url: {"0001": HEARD})
    monkeypatch.setattr(node_probe, "ask", ask)
    paths.node("0001").confine.root.mkdir(parents=True)
    paths.node("0001").confine.config.touch()
    found = members(paths, TESTBED, "http://x/", ["0001"], [])
    assert asked == {"0001": "fd65:fc41:c50f:1::2"}
    assert found["0001"].well
    assert "never enrolled" in found["0002"].sentence


def test_a_controller_that_is_away_says_nothing() -> None:
    assert membership.hear("http://127.0.0.1:9/") == {}


# --- waiting -------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> TestbedPaths:
    return Home(root=tmp_path).testbed("ring")


class Nodes:
    """Nodes that answer in each round what is written here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rounds: Mapping[str, Answer]) -> None:
        self.rounds, self.asked, self.woken = list(rounds), [], []
        monkeypatch.setattr(node_probe, "watch", self.watch)
        monkeypatch.setattr(membership, "hear", lambda _url: {"0001": HEARD})
        monkeypatch.setattr(
            membership, "reread_inittab", lambda _paths, node: self.woken.append(node)
        )

    rounds: list[Mapping[str, Answer]]
    asked: list[list[str]]
    woken: list[str]

    def watch(
        self, _namespace: str, addresses: Mapping[str, str], enough: Any, _timeout_s: float
    ) -> dict[str, Answer]:
        self.asked.append(list(addresses))
        now = self.rounds.pop(0) if self.rounds else {}
        found = {node: now.get(node, Answer(seen="no answer")) for node in addresses}
        for node, answer in found.items():
            enough(node, answer)
        return found


def registered(changed: bool = True, **orders: str) -> Registered:
    told = {f"000{name[-1]}": order for name, order in orders.items()}
    return Registered(
        url="http://x/",
        told=(),
        made=None,
        credentials=Path("c"),
        enrolled=Enrolled(
            told=(), changed=frozenset(told if changed else ()), orders=told, left_out={"0003": "x"}
        ),
        states=dict.fromkeys(told, "production"),
    )


BOTH = registered(n1="production", n2="production", n3="production")


def test_nodes_are_waited_for_until_they_are_what_they_are_told_to_be(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(monkeypatch, {"0001": says()}, {"0002": says()})
    arrived: list[str] = []
    states = wait_members(paths, TESTBED, BOTH, 5, arrived.append)
    assert states == {"0001": "production", "0002": "production"}
    assert arrived == ["0001", "0002"]
    assert nodes.asked == [["0001", "0002"], ["0002"]]
    assert nodes.woken == ["0002"]


def test_nodes_that_were_told_nothing_and_are_known_to_be_well_are_not_asked(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(monkeypatch)
    told = registered(changed=False, n1="production", n2="failure")
    assert wait_members(paths, TESTBED, told, 5) == {"0001": "production", "0002": "failure"}
    assert nodes.asked == [[], []]


def test_a_laggard_is_told_with_its_reason_and_the_next_step(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = says(state="debug", errors=[{"member": "arch", "message": "it is i686"}])
    Nodes(monkeypatch, {"0001": says()}, {"0002": late})
    with pytest.raises(NotReadyError, match="1 of 2 nodes") as caught:
        wait_members(paths, TESTBED, BOTH, 5)
    assert list(caught.value.seen) == ["0002"]
    assert "arch: it is i686" in caught.value.seen["0002"]
    assert "next: " in caught.value.seen["0002"]
    assert caught.value.hint == "look: vct node info 0002"


def test_ctrl_c_while_waiting_says_that_nodes_go_on(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(node_probe, "watch", interrupted)
    with pytest.raises(InterruptedByUser, match="they go on"):
        wait_members(paths, TESTBED, BOTH, 5)
