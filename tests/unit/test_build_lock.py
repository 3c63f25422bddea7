"""Lock files: what they pin, what they refuse, and what is wrong in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vct.build.bill import Package, parse_installed, parse_shown, with_digests
from vct.build.lock import LockError, load, lock_of, locked_image, render
from vct.build.supplies import check_result
from vct.errors import InputError
from vct.model.recipe import Recipe, parse_recipe

A, B = "a" * 64, "b" * 64


def package(name: str, version: str, sha256: str = "") -> Package:
    return Package(
        name=name,
        version=version,
        arch="i386",
        source=name,
        source_version=version,
        size_kib=1,
        sha256=sha256,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entry = {
        "suite": "bookworm",
        "tree": A,
        "packages": {
            "apt": {"version": "2.6.1", "sha256": A},
            "dpkg": {"version": "1:1.21", "sha256": ""},
        },
    }
    path = tmp_path / "vct.lock"
    path.write_text(render({"base": {"i386": entry}}))
    return path


def test_it_works(file: Path) -> None:
    found = locked_image(file, "base", "i386")
    assert (found.suite, found.tree) == ("bookworm", A)
    assert found.packages == {"apt": ("2.6.1", A), "dpkg": ("1:1.21", "")}


def test_only_the_locked_versions_may_be_installed(file: Path) -> None:
    assert locked_image(file, "base", "i386").preferences() == (
        "Package: apt\nPin: version 2.6.1\nPin-Priority: 1001\n\n"
        "Package: dpkg\nPin: version 1:1.21\nPin-Priority: 1001\n\n"
        "Package: *\nPin: release *\nPin-Priority: -1\n"
    )


def test_what_the_mirror_has_no_more_is_named(file: Path) -> None:
    locked = locked_image(file, "base", "i386")
    has = {("apt", "2.6.1", "i386"): A, ("dpkg", "1:1.21", "i386"): B}
    assert locked.missing(has) == []
    assert locked.missing({("apt", "2.6.1", "i386"): B, ("dpkg", "1:1.22", "i386"): B}) == [
        "apt 2.6.1 is another file: sha256 bbbbbbbbbbbb…",
        "dpkg 1:1.21 is not there, the mirror has 1:1.22",
    ]
    assert locked.missing({("apt", "2.6.1", "i386"): A}) == [
        "dpkg 1:1.21 is not there, nor is any other version"
    ]


def test_a_build_that_gives_other_packages_fails(file: Path) -> None:
    locked = locked_image(file, "base", "i386")
    check_result(locked, [package("apt", "2.6.1"), package("dpkg", "1:1.21")])
    with pytest.raises(LockError) as caught:
        check_result(locked, [package("apt", "2.6.2"), package("less", "590")])
    assert caught.value.faults == [
        "apt: 2.6.1 locked, 2.6.2 installed",
        "dpkg: 1:1.21 locked, not installed",
        "less: not locked, 590 installed",
    ]
    assert "without --locked" in caught.value.hint


def test_many_faults_are_not_all_told() -> None:
    error = LockError("base", "i386", [f"package{index:02}" for index in range(15)])
    assert "| and 5 more" in error.hint
    assert "package12" not in error.hint


def test_what_is_locked_has_a_digest_of_its_own(file: Path) -> None:
    before = locked_image(file, "base", "i386").digest
    file.write_text(file.read_text().replace("2.6.1", "2.6.2"))
    assert locked_image(file, "base", "i386").digest != before


BASE = "bootstrap: {suite: bookworm}"


def recipe(name: str, beginning: str) -> Recipe:
    text = f"name: {name}\nkind: node\n{beginning}\n"
    return parse_recipe(text, Path(f"/recipes/{name}.yaml"), "i386")


def test_a_lock_of_another_release_is_told(file: Path) -> None:
    assert set(lock_of(file, [recipe("base", BASE)])) == {("base", "i386")}
    with pytest.raises(InputError, match="is of bookworm, the recipe is of trixie") as caught:
        lock_of(file, [recipe("base", "bootstrap: {suite: trixie}")])
    assert (caught.value.key, "--set suite=bookworm" in caught.value.hint) == (
        "images.base.i386.suite",
        True,
    )


def test_every_image_that_is_built_must_be_locked(file: Path) -> None:
    with pytest.raises(InputError) as caught:
        lock_of(file, [recipe("base", BASE), recipe("node", "from: base")])
    assert caught.value.key == "images.node.i386"
    assert caught.value.hint == "build it, then: vct image lock node --arch i386"


DAMAGES: dict[str, Any] = {
    "is not a lock file": [],
    "is of another version (2)": {"lock": 2, "images": {}},
    "has nothing on base": {"lock": 1, "images": {"base": 3}},
    "is damaged": {"lock": 1, "images": {"base": {"i386": {"packages": {"apt": "2"}}}}},
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_lock_file_is_told(tmp_path: Path, words: str) -> None:
    path = tmp_path / "vct.lock"
    path.write_text(json.dumps(DAMAGES[words]))
    with pytest.raises(InputError) as caught:
        locked_image(path, "base", "i386")
    assert words in caught.value.message
    assert caught.value.file == str(path)
    assert "vct image lock" in caught.value.hint


def test_text_that_is_no_json_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "vct.lock"
    path.write_text('{"lock": 1,\n oops')
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.line == 2


def test_a_missing_lock_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.lock")


# --- bills ---------------------------------------------------------------------------------------


def test_only_what_is_installed_is_on_the_bill() -> None:
    text = (
        "libc6\t2.36-9\ti386\tglibc\t2.36-9\t12000\tinstalled\n"
        "apt\t2.6.1\ti386\tapt\t2.6.1\t\tinstalled\n"
        "gone\t1\ti386\tgone\t1\t5\tconfig-files\n"
    )
    found = parse_installed(text)
    assert [(one.name, one.source, one.size_kib) for one in found] == [
        ("apt", "apt", 0),
        ("libc6", "glibc", 12000),
    ]


def test_digests_come_from_the_lists() -> None:
    text = (
        "Package: apt\nVersion: 2.6.1\nArchitecture: i386\nDescription: x\n SHA256: no\n"
        f"SHA256: {A}\n\nPackage: half\nVersion: 1\n\n"
    )
    assert parse_shown(text) == {("apt", "2.6.1", "i386"): A}


def test_what_the_parent_knew_goes_before_the_lists() -> None:
    [found] = with_digests(
        [package("apt", "1")], [package("apt", "1", A)], {("apt", "1", "i386"): B}
    )
    assert found.sha256 == A
