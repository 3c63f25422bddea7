"""The agent dies at any point of a cycle, the disk is full at any: the next cycle puts it right."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agent.a_node import ARCH, ANode, a_config
from tests.agent.a_registry import ARegistry
from vct.agent import cycle, kept
from vct.agent.registry import Registry


class Killed(BaseException):
    """As SIGKILL: nobody catches it."""


class Counted:
    """Stands before a function and raises at one of its calls, counted over all of them."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at, self.error, self.calls = at, error, 0

    def before(self, function: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            due = self.calls == self.at
            if due and not after:
                raise self.error
            found = function(*args, **kwargs)
            if due:
                raise self.error
            return found

        return call


STEPS = (
    (Registry, "get"),
    (Registry, "close"),
    (os, "fsync"),
    (Path, "replace"),
    (cycle, "see"),
    (cycle, "save_cache"),
    (cycle, "apply"),
    (cycle, "write_admins"),
    (cycle, "tree"),
    (ANode, "_reboot"),
)
POINTS = range(1, 26)


def wanted(node: ANode) -> tuple[Any, ...]:
    """What a node comes to, whatever happened on the way."""
    said = dict(node.said("/node/"))
    del said["resources"]  # the free disk changes under the tests
    return said, node.authorized(), node.kept() | {"rebooting": ""}


def change(registry: ARegistry) -> None:
    registry.documents["nodes/1/"] |= {"boot_sn": 3, "set_state": "safe", "direct_ifaces": ["eth1"]}
    registry.documents["users/1/"]["id"] = 5


def undisturbed(node: ANode, registry: ARegistry) -> tuple[Any, ...]:
    node.cycle()
    change(registry)
    node.cycle()
    node.boot()
    node.cycle()
    return wanted(node)


@pytest.fixture
def outcome(registry: ARegistry, tmp_path: Path) -> tuple[Any, ...]:
    """What the same registry brings a node to that nothing happens to."""
    (tmp_path / "other").mkdir()
    documents = json.loads(json.dumps(registry.documents))
    found = undisturbed(ANode(tmp_path / "other", a_config(registry.base)), registry)
    registry.documents = documents
    return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", POINTS)
def test_killed_at_any_point_the_next_cycle_converges(
    at: int,
    after: bool,
    outcome: tuple[Any, ...],
    node: ANode,
    registry: ARegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node.cycle()
    change(registry)
    killer = Counted(at, Killed())
    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, killer.before(getattr(owner, name), after=after))
        try:
            node.cycle()
        except Killed:
            node.restart()
    node.cycle()
    assert node.reboots >= 1
    node.boot()
    before = node.reboots
    node.cycle()
    assert node.reboots == before, "it reboots once only"
    assert wanted(node) == outcome


def test_there_are_no_more_points_than_are_tried(
    node: ANode, registry: ARegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.cycle()
    change(registry)
    counter = Counted(0, Killed())
    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, counter.before(getattr(owner, name)))
    node.cycle()
    assert 10 < counter.calls <= max(POINTS)


# --- a full disk ---------------------------------------------------------------------------------


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_node_with_a_full_disk_does_what_it_can(
    node: ANode, registry: ARegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = node.cycle()
        assert said["state"] == "production"
        assert "No space left" in node.errors()
    assert node.cycle()["errors"] == []
    assert node.kept()["state"] == "production"
    assert node.places.cache.exists()


def test_what_cannot_be_remembered_does_not_reboot(
    node: ANode, registry: ARegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 1

    def full(path: Path, state: kept.Kept) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr("vct.agent.apply.save_kept", full)
        node.cycle()
        assert node.reboots == 0
    node.cycle()
    assert node.reboots == 1


def test_a_reboot_that_cannot_be_asked_for_is_told(node: ANode, registry: ARegistry) -> None:
    node.cycle()
    registry.documents["nodes/1/"]["boot_sn"] = 1
    node.agent._reboot = lambda: (_ for _ in ()).throw(FileNotFoundError(2, "none", "/sbin/reboot"))
    assert "cannot reboot" in str(node.cycle()["errors"])


@pytest.mark.parametrize("name", ["state.json", "cache.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "\xff", "[" * 100_000])
def test_a_damaged_file_is_as_good_as_none(name: str, text: str, node: ANode) -> None:
    node.cycle()
    (node.places.persist / name).write_bytes(text.encode("latin-1"))
    node.restart()
    said = node.cycle()
    assert (said["state"], said["errors"]) == ("production", [])


def test_a_node_restored_from_an_old_copy_reboots_at_most_once(
    node: ANode, registry: ARegistry
) -> None:
    node.cycle()
    old = node.places.state.read_text()
    registry.documents["nodes/1/"]["boot_sn"] = 4
    node.cycle()
    node.boot()
    node.cycle()
    node.places.state.write_text(old)
    for _ in range(3):
        node.boot()
        node.cycle()
    assert node.reboots == 2


# --- anything at all -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PATHS = ("nodes/1/", "", "groups/2/", "users/1/", "slivers/30/", "slices/12/", "templates/3/")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(PATHS), which=st.integers(0, 40), value=JSON)
def test_whatever_a_member_is_the_node_says_something(
    path: str, which: int, value: object, node: ANode, registry: ARegistry
) -> None:
    registry.populate(arch=ARCH)
    document = registry.documents[path]
    member = sorted(document)[which % len(document)]
    document[member] = value
    said = node.cycle()
    assert said["state"] in ("debug", "safe", "production", "failure")
    assert json.dumps(said)
