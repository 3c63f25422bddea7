"""The record of a node's systems: what an update, a fall-back and a rollback make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vct.drivers.node_systems import System, Systems, load_systems, save_systems
from vct.errors import VctError
from vct.model.testbed import Node, Testbed
from vct.paths import Home, NodePaths
from vct.plan.wanted import BuiltImage, NodeSystem
from vct.verbs.systems import chosen_systems

FILE = "node-debian"


def system(number: int, arch: str = "amd64") -> System:
    return System(number=number, image=f"i@{number}", root=f"/images/{number}", arch=arch)


def updated(systems: Systems, new: int) -> Systems:
    """After an update that was kept."""
    return systems.trying(system(systems.current), system(new), FILE).taken()


def test_it_works(tmp_path: Path) -> None:
    paths = NodePaths(root=tmp_path)
    trying = Systems().trying(system(1), system(2), FILE)
    save_systems(paths, trying)
    assert load_systems(paths) == trying


def test_a_node_without_a_record_boots_system_1(tmp_path: Path) -> None:
    systems = load_systems(NodePaths(root=tmp_path))
    assert (systems.current, systems.kept) == (1, (1,))
    assert systems.pinned(FILE, "amd64") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"known": [{}]}', '{"known": [], "more": 1}', "{}"])
def test_a_damaged_record_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    paths = NodePaths(root=tmp_path)
    paths.systems.write_text(text)
    with pytest.raises(VctError, match="damaged") as caught:
        load_systems(paths)
    assert f"rm {paths.systems}" in caught.value.hint


def test_while_one_is_on_trial_the_present_one_is_to_be_booted() -> None:
    trying = Systems().trying(system(1), system(2), FILE)
    assert (trying.current, trying.trial) == (1, 2)
    assert trying.pinned(FILE, "amd64") == system(1)


def test_what_was_kept_is_to_be_booted_and_the_one_before_stays() -> None:
    kept = updated(Systems(), 2)
    assert (kept.current, kept.previous, kept.trial) == (2, 1, 0)
    assert kept.pinned(FILE, "amd64") == system(2)
    assert kept.kept == (1, 2)


def test_what_failed_is_forgotten_and_its_number_too() -> None:
    systems = Systems().trying(system(1), system(2), FILE).given_up()
    assert (systems.current, systems.kept, systems.known) == (1, (1,), (system(1),))
    assert systems.last == 2


def test_a_node_keeps_what_it_fell_back_to() -> None:
    """The image that the file names may be the very one that failed, built anew."""
    systems = Systems().trying(system(1), system(2), FILE).given_up()
    assert systems.pinned(FILE, "amd64") == system(1)


def test_going_back_swaps_the_two() -> None:
    there = updated(Systems(), 2)
    back = there.trying(system(2), system(1), FILE).taken()
    assert (back.current, back.previous, back.last) == (1, 2, 2)
    assert back.known == (system(1), system(2))


def test_a_failed_way_back_leaves_it_open() -> None:
    there = updated(Systems(), 2)
    assert there.trying(system(2), system(1), FILE).given_up() == there


def test_a_failed_update_leaves_the_way_back_open() -> None:
    there = updated(Systems(), 2)
    trying = there.trying(system(2), system(3), FILE)
    assert trying.kept == (1, 2, 3)
    assert trying.given_up() == replace(there, last=3)


def test_after_two_updates_the_first_system_is_gone() -> None:
    assert updated(updated(Systems(), 2), 3).kept == (2, 3)


@pytest.mark.parametrize(("image", "arch"), [("other", "amd64"), (FILE, "i386")])
def test_another_image_in_the_file_is_what_counts(image: str, arch: str) -> None:
    assert updated(Systems(), 2).pinned(image, arch) is None


def test_the_record_has_a_line_for_the_trial(tmp_path: Path) -> None:
    """fall-back.sh looks for it."""
    paths = NodePaths(root=tmp_path)
    save_systems(paths, Systems().trying(system(1), system(2), FILE))
    assert ' "trial": 2,' in paths.systems.read_text().splitlines()


# --- what nodes are to boot -----------------------------------------------------------------------


def node(image: str = FILE) -> Node:
    return Node(id="0001", image=image, arch="amd64", memory_mib=64, disk_mib=64)


def chosen(tmp_path: Path, image: str = FILE) -> dict[str, NodeSystem]:
    paths = Home(root=tmp_path).testbed("ring")
    return chosen_systems(paths, Testbed(name="ring", nodes=(node(image),), links=(), segments=()))


def test_nodes_that_were_never_updated_are_not_mentioned(tmp_path: Path) -> None:
    assert chosen(tmp_path) == {}


def test_an_updated_node_has_its_system_until_the_file_names_another_image(tmp_path: Path) -> None:
    paths = Home(root=tmp_path).testbed("ring").node("0001")
    paths.root.mkdir(parents=True)
    save_systems(paths, updated(Systems(), 2))
    own = BuiltImage(label="i@2", root="/images/2")
    assert chosen(tmp_path) == {"0001": NodeSystem(number=2, image=own)}
    assert chosen(tmp_path, "other") == {"0001": NodeSystem(number=2)}
