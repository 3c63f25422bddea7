"""An image's identity: it changes with each input, and with nothing else."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vct.build.apt import AptSource
from vct.build.inputs import EPOCH, Manifest, differences, digest, manifest, tar, tree
from vct.model.recipe import Fetch, Recipe, Run, parse_recipe

SOURCE = AptSource(uri="http://m.example/debian", suite="bookworm", components=("main",))
TOOLS = {"mmdebstrap": "1.3.5-7"}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    files = tmp_path / "images" / "tiny" / "etc"
    files.mkdir(parents=True)
    (files / "motd").write_text("hello\n")
    (files / "start").write_text("#!/bin/sh\n")
    (files / "start").chmod(0o755)
    (files / "link").symlink_to("/etc/motd")
    (tmp_path / "recipes").mkdir()
    text = (
        "name: tiny\nkind: base\nbootstrap: {suite: bookworm}\npackages: [curl]\n"
        "exclude: [/usr/share/man/*]\nfiles: images/tiny\nrun: [date]\n"
    )
    return parse_recipe(text, tmp_path / "recipes" / "tiny.yaml")


def made(recipe: Recipe, arch: str = "amd64", tools: dict[str, str] = TOOLS) -> Manifest:
    return manifest(recipe, arch, parent=None, sources=[SOURCE], tools=tools)


def commands(*texts: str) -> tuple[Run, ...]:
    return tuple(Run(text=text, key=f"run[{index}]") for index, text in enumerate(texts))


def files(recipe: Recipe) -> Path:
    assert recipe.files is not None
    return recipe.files / "etc"


def test_it_works(recipe: Recipe) -> None:
    assert len(digest(made(recipe))) == 64
    assert digest(made(recipe)) == digest(made(recipe))


CHANGES: dict[str, Callable[[Recipe], Manifest]] = {
    "name: tiny → small": lambda recipe: made(replace(recipe, name="small")),
    "kind: base → node": lambda recipe: made(replace(recipe, kind="node")),
    "arch: amd64 → i386": lambda recipe: made(recipe, "i386"),
    "packages: added less": lambda recipe: made(replace(recipe, packages=("curl", "less"))),
    "packages: removed curl": lambda recipe: made(replace(recipe, packages=())),
    "exclude: removed /usr/share/man/*": lambda recipe: made(replace(recipe, exclude=())),
    "run: added ls": lambda recipe: made(replace(recipe, run=commands("date", "ls"))),
    "files: etc/motd: removed": lambda recipe: made(replace(recipe, files=files(recipe))),
    "tools: mmdebstrap: 1.3.5-7 → 2": lambda recipe: made(recipe, tools={"mmdebstrap": "2"}),
}


@pytest.mark.parametrize("words", CHANGES)
def test_each_input_changes_the_digest_and_is_named(recipe: Recipe, words: str) -> None:
    before, after = made(recipe), CHANGES[words](recipe)
    assert digest(before) != digest(after)
    assert words in differences(before, after)


def test_a_bootstraps_suite_variant_and_mirror_are_inputs(recipe: Recipe) -> None:
    assert recipe.bootstrap is not None
    before = made(recipe)
    suite = replace(recipe.bootstrap, suite="trixie")
    variant = replace(recipe.bootstrap, variant="apt")
    for other in (suite, variant):
        assert digest(made(replace(recipe, bootstrap=other))) != digest(before)
    mirror = replace(SOURCE, uri="http://n.example/debian")
    moved = manifest(recipe, "amd64", parent=None, sources=[mirror], tools=TOOLS)
    assert [line.split(" ")[0] for line in differences(before, moved)] == ["bootstrap:"] * 2


def test_a_changed_parent_is_named(recipe: Recipe) -> None:
    layer = replace(recipe, bootstrap=None, parent="base-debian")
    old, new = (
        manifest(layer, "amd64", parent=parent * 64, sources=[], tools={}) for parent in "ab"
    )
    assert digest(old) != digest(new)
    assert differences(old, new) == ["from: base-debian changed"]


def test_content_and_executability_of_files_are_inputs(recipe: Recipe) -> None:
    before = made(recipe)
    (files(recipe) / "motd").write_text("bye\n")
    (files(recipe) / "start").chmod(0o644)
    assert differences(before, made(recipe)) == [
        "files: etc/motd: changed",
        "files: etc/start: changed",
    ]


def test_times_owners_and_other_mode_bits_are_not(recipe: Recipe) -> None:
    before = made(recipe)
    os.utime(files(recipe) / "motd", (0, 0))
    (files(recipe) / "motd").chmod(0o600)
    (files(recipe) / "start").chmod(0o700)
    assert digest(made(recipe)) == digest(before)


def test_where_the_recipe_is_and_a_password_are_not(recipe: Recipe, tmp_path: Path) -> None:
    secret = replace(SOURCE, uri="http://me:secret@m.example/debian")
    moved = replace(recipe, source=tmp_path / "elsewhere.yaml")
    assert manifest(moved, "amd64", parent=None, sources=[secret], tools=TOOLS) == made(recipe)


def test_another_order_of_commands_is_a_change(recipe: Recipe) -> None:
    one, two = (made(replace(recipe, run=commands(*run))) for run in ("ab", "ba"))
    assert differences(one, two) == ["run: another order"]


def test_equal_manifests_have_no_differences(recipe: Recipe) -> None:
    assert differences(made(recipe), made(recipe)) == []


def test_the_archive_has_the_tree_with_one_owner_and_one_date(recipe: Recipe) -> None:
    assert recipe.files is not None
    with tarfile.open(fileobj=io.BytesIO(tar(recipe.files))) as archive:
        found = {entry.name: entry for entry in archive}
    assert list(found) == ["etc/link", "etc/motd", "etc/start"] == list(tree(recipe.files))
    assert found["etc/link"].linkname == "/etc/motd"
    assert [found[name].mode for name in ("etc/motd", "etc/start")] == [0o644, 0o755]
    assert {(entry.uid, entry.gid, entry.mtime) for entry in found.values()} == {(0, 0, EPOCH)}


def test_a_command_with_the_network_is_another_one(recipe: Recipe) -> None:
    online = replace(recipe, run=(Run(text="date", key="run[0]", network=True),))
    assert made(online)["run"] == [{"command": "date", "network": True}]


def test_how_well_an_image_is_packed_counts_only_where_it_is_packed(recipe: Recipe) -> None:
    assert made(replace(recipe, compression=19)) == made(recipe)
    packed = [made(replace(recipe, output="squashfs", compression=level)) for level in (3, 15)]
    assert differences(*packed) == ["compression: 3 → 15"]


def test_a_fetched_root_is_known_by_its_digest_not_by_its_place_or_limit(recipe: Recipe) -> None:
    def fetched(url: str, sha256: str, size_max_mib: int = 512) -> Manifest:
        fetch = Fetch(url=url, sha256=sha256, format="tar.xz", strip=0, size_max_mib=size_max_mib)
        return made(replace(recipe, bootstrap=None, fetch=fetch))

    assert fetched("https://one/x", "a" * 64) == fetched("https://two/x", "a" * 64)
    assert fetched("https://one/x", "a" * 64) == fetched("https://one/x", "a" * 64, 1024)
    assert fetched("https://one/x", "a" * 64) != fetched("https://one/x", "b" * 64)


def test_pinned_packages_make_another_image(recipe: Recipe) -> None:
    pinned = manifest(recipe, "amd64", parent=None, sources=[SOURCE], tools=TOOLS, lock="c" * 64)
    assert differences(made(recipe), pinned) == ["lock: added"]


def test_hooks_are_not_copied_into_the_image(recipe: Recipe) -> None:
    assert recipe.files is not None
    (recipe.files / "hooks").mkdir()
    (recipe.files / "hooks" / "setup").write_text("id\n")
    assert not any(name.startswith("hooks") for name in tree(recipe.files))
    with tarfile.open(fileobj=io.BytesIO(tar(recipe.files))) as archive:
        assert not any(name.startswith("hooks") for name in archive.getnames())
