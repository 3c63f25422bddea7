"""Layers with what only root can make: whiteouts and the overlay's attributes. No network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vct.build import farm

EPOCH = 1_000_000_000


@pytest.fixture
def below(tmp_path: Path) -> Path:
    root = tmp_path / "below"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_text("hello")
    (root / "hostname").write_text("one")
    return root


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    return tmp_path / "upper"


def laid(tmp_path: Path, *layers: Path) -> Path:
    for layer in layers:
        farm.lay(layer, tmp_path / "root")
    return tmp_path / "root"


def test_it_works(tmp_path: Path, below: Path, upper: Path) -> None:
    """What a layer deletes is not there."""
    os.mknod(upper / "etc", 0o020000, 0)
    root = laid(tmp_path, below, upper)
    assert [path.name for path in root.iterdir()] == ["hostname"]


def test_an_opaque_directory_hides_what_is_below(tmp_path: Path, below: Path, upper: Path) -> None:
    (upper / "etc").mkdir()
    os.setxattr(upper / "etc", farm.OPAQUE, b"y")
    (upper / "etc" / "hosts").write_text("new")
    root = laid(tmp_path, below, upper)
    assert [path.name for path in (root / "etc").iterdir()] == ["hosts"]
    assert os.listxattr(root / "etc") == []


def test_traces_of_the_overlay_go_and_its_marks_stay(upper: Path) -> None:
    (upper / "etc").mkdir()
    os.setxattr(upper / "etc", "trusted.overlay.origin", b"x")
    os.setxattr(upper / "etc", farm.OPAQUE, b"y")
    os.mknod(upper / "gone", 0o020000, 0)
    farm.settle(upper, EPOCH)
    assert os.listxattr(upper / "etc") == [farm.OPAQUE]
    assert farm.is_whiteout((upper / "gone").lstat())
