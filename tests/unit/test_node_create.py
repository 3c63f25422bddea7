"""`vct node create`: the parts of init for one node, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vct.errors import RefusedError
from vct.model.load import parse_testbed
from vct.paths import Home, TestbedPaths
from vct.plan.wanted import number
from vct.verbs import controller, membership, node_create, nodes
from vct.verbs.controller import Registered
from vct.verbs.enrolment import Enrolled
from vct.verbs.nodes import Done
from vct.verbs.record import Applied, save_applied

NODES = 'name: ring\nnodes: {"0001": {}, "0002": {gateway: "0001"}}\n'
JOINED = 'controller: {}\nmanagement: {gateways: ["0001"]}\n'


def known(root: Path, text: str = NODES + JOINED) -> tuple[Home, TestbedPaths]:
    """A testbed that was asked for."""
    home = Home(root=root)
    paths = home.testbed("ring")
    paths.root.mkdir(parents=True)
    testbed = parse_testbed(text, "ring.yaml")
    save_applied(paths, Applied(testbed=testbed, numbers=number(testbed, None)))
    return home, paths


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the controller was asked to do; it says that all are in production."""
    asked: list[Any] = []

    def register(*_arguments: object, **chosen: Any) -> Registered:
        asked.append(chosen)
        orders = dict.fromkeys(chosen["nodes"], "production")
        enrolled = Enrolled(told=(), changed=frozenset(), orders=orders, left_out={})
        return Registered(
            url="", told=("a",), made=None, credentials=Path("c"), enrolled=enrolled, states={}
        )

    monkeypatch.setattr(controller, "wait_ready", lambda *_: None)
    monkeypatch.setattr(controller, "register", register)
    monkeypatch.setattr(
        membership, "wait_members", lambda _p, _t, found, _s: dict(found.enrolled.orders)
    )
    return asked


def test_it_works(tmp_path: Path, told: list[Any]) -> None:
    home, paths = known(tmp_path)
    joined = node_create.join(home, paths, "0002", 1)
    assert joined is not None
    assert (joined.told, joined.state) == (("a",), "production")
    assert told == [{"nodes": {"0002"}, "renew": frozenset()}]


def test_new_keys_are_for_this_node_only(tmp_path: Path, told: list[Any]) -> None:
    home, paths = known(tmp_path)
    node_create.join(home, paths, "0002", 1, renew=True)
    assert told[0]["renew"] == {"0002"}


def test_a_gateway_is_enrolled_with_the_node_behind_it() -> None:
    testbed = parse_testbed(NODES + JOINED, "ring.yaml")
    assert [node.id for node in controller._with_gateways(testbed, ["0002"])] == ["0001", "0002"]
    assert [node.id for node in controller._with_gateways(testbed, ["0001"])] == ["0001"]
    assert len(controller._with_gateways(testbed, None)) == 2


def test_without_a_controller_there_is_only_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, paths = known(tmp_path, 'name: ring\nnodes: {"0001": {}}\n')
    started = Done(nodes=("0001",), changed=("0001",))
    monkeypatch.setattr(nodes, "start_nodes", lambda *_: started)
    assert node_create.start(home, paths, "0001") == started
    assert node_create.join(home, paths, "0001", 1) is None
    with pytest.raises(RefusedError, match="has no keys") as caught:
        node_create.start(home, paths, "0001", renew=True)
    assert "controller: {}" in caught.value.hint
