"""An image's manifest cut into layers: keys change with their inputs and only then."""

from __future__ import annotations

from typing import Any

import pytest

from vct.build.layers import Layer, layers_of, plan_layers

NODE: dict[str, Any] = {
    "builder": 3,
    "name": "node",
    "kind": "node",
    "version": "1",
    "arch": "amd64",
    "from": {"name": "base", "digest": "ab" * 32},
    "packages": ["curl"],
    "exclude": [],
    "files": {"etc/motd": "0644 12"},
    "run": ["date", "ls"],
    "output": "directory",
    "compression": 3,
}
BASE: dict[str, Any] = {
    **{key: value for key, value in NODE.items() if key != "from"},
    "bootstrap": {"suite": "bookworm", "sources": ["deb http://m bookworm main"]},
    "tools": {"mmdebstrap": "1"},
}


def labels(manifest: dict[str, Any]) -> list[str]:
    return [layer.label for layer in layers_of(manifest)]


def changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The labels whose keys are not the same."""
    before = {layer.label: layer.key for layer in layers_of(old)}
    return [layer.label for layer in layers_of(new) if before.get(layer.label) != layer.key]


def test_it_works() -> None:
    assert labels(NODE) == ["packages", "files", "run[0]", "run[1]", "tidy"]
    assert labels(BASE) == ["bootstrap", "files", "run[0]", "run[1]", "tidy"]


def test_what_a_recipe_has_not_is_no_layer() -> None:
    assert labels({**NODE, "packages": [], "files": {}, "run": []}) == ["tidy"]


def test_hooks_are_layers_under_their_own_name() -> None:
    found = layers_of(NODE, ["run[0]", "hooks[0]"])
    assert [layer.label for layer in found][2:4] == ["run[0]", "hooks[0]"]


@pytest.mark.parametrize(
    ("key", "value", "first"),
    [
        ("builder", 4, "packages"),
        ("arch", "i386", "packages"),
        ("from", {"name": "base", "digest": "cd" * 32}, "packages"),
        ("packages", ["curl", "less"], "packages"),
        ("exclude", ["/usr/share/man/*"], "packages"),
        ("something new", 1, "packages"),
        ("files", {"etc/motd": "0755 12"}, "files"),
        ("run", ["date -u", "ls"], "run[0]"),
        ("run", ["date", {"command": "ls", "network": True}], "run[1]"),
    ],
)
def test_a_changed_input_changes_its_layer_and_all_above(key: str, value: Any, first: str) -> None:
    everything = labels(NODE)
    assert changed(NODE, {**NODE, key: value}) == everything[everything.index(first) :]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bootstrap", {"suite": "trixie", "sources": []}),
        ("tools", {"mmdebstrap": "2"}),
        ("packages", []),
    ],
)
def test_a_bootstrap_installs_the_packages_too(key: str, value: Any) -> None:
    assert changed(BASE, {**BASE, key: value}) == labels(BASE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("kind", "base"),
        ("version", "2"),
        ("output", "squashfs"),
        ("compression", 15),
    ],
)
def test_how_an_image_is_called_and_kept_changes_no_layer(key: str, value: Any) -> None:
    assert changed(NODE, {**NODE, key: value}) == []


def test_the_name_matters_where_a_file_in_the_image_is_called_by_it() -> None:
    excluding = {**NODE, "exclude": ["/usr/share/man/*"]}
    assert changed(excluding, {**excluding, "name": "other"}) == labels(excluding)


# --- what to do, and why -------------------------------------------------------------------------


def keys(layers: tuple[Layer, ...]) -> frozenset[str]:
    return frozenset(layer.key for layer in layers)


def planned(
    old: dict[str, Any], new: dict[str, Any], cached: frozenset[str] | None = None
) -> list[tuple[str, str, str]]:
    before = layers_of(old)
    plan = plan_layers(layers_of(new), before, keys(before) if cached is None else cached)
    return [(one.label, one.action, one.reason) for one in plan]


def test_what_is_below_a_change_is_kept_and_what_is_above_made_again() -> None:
    assert planned(NODE, {**NODE, "run": ["date -u", "ls"]}) == [
        ("packages", "kept", "all inputs are the same"),
        ("files", "kept", "all inputs are the same"),
        ("run[0]", "build", "run: date → date -u"),
        ("run[1]", "build", "what is below it changed"),
        ("tidy", "build", "what is below it changed"),
    ]


def test_a_new_parent_is_the_reason_of_the_lowest_layer() -> None:
    new = {**NODE, "from": {"name": "base", "digest": "cd" * 32}}
    assert planned(NODE, new)[0] == ("packages", "build", "from: base changed")


def test_a_layer_that_is_not_there_is_made_with_all_above() -> None:
    without = keys(layers_of(NODE)[:2])
    assert [action for _label, action, _reason in planned(NODE, NODE, without)] == [
        "kept",
        "kept",
        "build",
        "build",
        "build",
    ]


def test_a_layer_that_was_made_before_is_kept_and_says_what_changed() -> None:
    new = {**NODE, "files": {"etc/motd": "0644 34"}}
    assert planned(NODE, new, keys(layers_of(new)))[1] == (
        "files",
        "kept",
        "files: etc/motd: changed (made before)",
    )
