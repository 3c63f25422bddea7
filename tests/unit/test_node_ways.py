"""Ways to a node: management, local, rescue, and the first that answers is taken and told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from vct import names
from vct.drivers import ssh_probe
from vct.errors import VctError
from vct.paths import Home, TestbedPaths
from vct.verbs import nodes
from vct.verbs.nodes import Way, find_way, scp, ssh, ways_to

CONTROLLER = names.controller_namespace("ring")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestbedPaths:
    """A testbed with a controller, node 0001 of which has its firmware."""
    monkeypatch.setattr(nodes, "namespace_names", lambda: ["vct-ring", CONTROLLER])
    paths = Home(root=tmp_path).testbed("ring")
    paths.node("0001").confine.root.mkdir(parents=True)
    paths.node("0001").confine.config.touch()
    return paths


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Only these addresses answer; returns those that were tried."""
    tried: list[str] = []

    def ask(_namespace: str, asked: Mapping[str, str], _timeout_s: float) -> dict[str, str]:
        tried.extend(asked.values())
        return {node: "no answer" for node, one in asked.items() if one not in addresses}

    monkeypatch.setattr(ssh_probe, "wait_for_ssh", ask)
    return tried


def test_it_works(paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = answering(monkeypatch, "fd65:fc41:c50f:1::2", "10.241.0.1")
    way = find_way(paths, "0001")
    assert str(way) == "management (fd65:fc41:c50f:1::2)"
    assert way.namespace == CONTROLLER
    assert tried == ["fd65:fc41:c50f:1::2"]


def test_the_order_is_management_local_rescue(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [way.name for way in ways_to(paths, "0001")] == ["management", "local", "rescue"]
    answering(monkeypatch, str(names.rescue_ipv6("0001")))
    assert find_way(paths, "0001").name == "rescue"


def test_a_node_without_firmware_or_controller_has_no_management_address(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [way.name for way in ways_to(paths, "0002")] == ["local", "rescue"]
    monkeypatch.setattr(nodes, "namespace_names", lambda: ["vct-ring"])
    assert [way.name for way in ways_to(paths, "0001")] == ["local", "rescue"]


def test_a_node_that_answers_nowhere_says_what_was_seen(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch)
    with pytest.raises(VctError, match="answers ssh nowhere") as caught:
        find_way(paths, "0001")
    assert caught.value.message.count("no answer") == 3
    assert caught.value.hint == "look inside: vct node console 0001"


def test_ssh_and_scp_go_that_way_with_the_pinned_key(
    paths: TestbedPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def foreground(argv: list[str]) -> int:
        ran.append(argv)
        return 0

    monkeypatch.setattr(nodes, "foreground", foreground)
    way = Way(name="management", address="fd65:fc41:c50f:1::2", namespace=CONTROLLER)
    assert ssh(paths, "0001", ["id"], way) == 0
    assert ran[0][:2] == ["nsenter", f"--net=/run/netns/{CONTROLLER}"]
    assert ran[0][-3:] == ["root@fd65:fc41:c50f:1::2", "--", "id"]
    assert "HostKeyAlias=rd0001" in ran[0]
    scp(paths, "0001", ["a", "remote:/b"], way)
    assert ran[1][-2:] == ["a", "root@[fd65:fc41:c50f:1::2]:/b"]
