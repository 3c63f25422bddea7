"""Comparing trees: every fact of a file counts, and each difference is told in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vct.build.verify import artefact_digest, describe, tree_differences, tree_digest


def plant(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_text("hello\n")
    (root / "etc" / "link").symlink_to("motd")
    os.mkfifo(root / "etc" / "pipe")
    for path in (root / "etc" / "motd", root / "etc" / "pipe", root / "etc", root):
        os.utime(path, (1, 1))
    os.utime(root / "etc" / "link", (1, 1), follow_symlinks=False)
    return root


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return plant(tmp_path / "one"), plant(tmp_path / "two")


def test_it_works(two: tuple[Path, Path]) -> None:
    one, other = two
    assert tree_differences(one, other) == []
    assert tree_digest(one) == tree_digest(other)


def _content(root: Path) -> None:
    (root / "etc" / "motd").write_text("HELLO\n")
    os.utime(root / "etc" / "motd", (1, 1))


def _target(root: Path) -> None:
    (root / "etc" / "link").unlink()
    (root / "etc" / "link").symlink_to("MOTD")
    os.utime(root / "etc" / "link", (1, 1), follow_symlinks=False)
    os.utime(root / "etc", (1, 1))


def _kind(root: Path) -> None:
    (root / "etc" / "pipe").unlink()
    (root / "etc" / "pipe").mkdir(mode=0o644)
    (root / "etc" / "pipe").chmod(0o644)
    os.utime(root / "etc" / "pipe", (1, 1))
    os.utime(root / "etc", (1, 1))


def _new(root: Path) -> None:
    (root / "etc" / "new").touch()
    os.utime(root / "etc", (1, 1))


CHANGES: dict[str, Callable[[Path], None]] = {
    "/etc/motd: content": _content,
    "/etc/motd: mode 0644 → 0600": lambda root: (root / "etc" / "motd").chmod(0o600),
    "/etc/motd: date 1 → 2": lambda root: os.utime(root / "etc" / "motd", (2, 2)),
    "/etc/link: target motd → MOTD": _target,
    "/etc/pipe: kind pipe → directory": _kind,
    "/etc/new: only in the new one": _new,
    "/: mode 0755 → 0700": lambda root: root.chmod(0o700),
}


@pytest.mark.parametrize("words", CHANGES)
def test_each_difference_is_told_and_changes_the_digest(two: tuple[Path, Path], words: str) -> None:
    one, other = two
    CHANGES[words](other)
    assert tree_differences(one, other) == [words]
    assert tree_digest(one) != tree_digest(other)


def test_files_are_in_the_order_of_their_paths(two: tuple[Path, Path]) -> None:
    names = [name for name, _ in describe(two[0])]
    assert names == [".", "etc", "etc/link", "etc/motd", "etc/pipe"]


def test_a_link_of_another_tree_is_no_difference(two: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = two
    os.link(one / "etc" / "motd", tmp_path / "elsewhere")
    assert tree_differences(one, other) == []


def test_two_names_of_one_file_are_not_two_files(two: tuple[Path, Path]) -> None:
    one, other = two
    os.link(one / "etc" / "motd", one / "etc" / "same")
    (other / "etc" / "same").write_text("hello\n")
    for root in two:
        for name in ("etc/same", "etc"):
            os.utime(root / name, (1, 1))
    assert tree_differences(one, other) == ["/etc/same: same as etc/motd → none"]


def test_many_differences_are_not_all_told(two: tuple[Path, Path]) -> None:
    for index in range(30):
        (two[1] / f"file{index}").touch()
    os.utime(two[1], (1, 1))
    found = tree_differences(*two, most=5)
    assert len(found) == 6
    assert found[-1] == "and 25 more"


def test_a_packed_image_is_known_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "root.squashfs").write_bytes(b"")
    assert artefact_digest(tmp_path / "root.squashfs").startswith("e3b0c44298fc1c14")
