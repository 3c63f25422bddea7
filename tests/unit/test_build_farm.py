"""Root file systems of hard links, from layers as an overlay writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vct.build import farm

EPOCH = 1_000_000_000


@pytest.fixture
def below(tmp_path: Path) -> Path:
    """A root with a file, a directory with a file, and a link."""
    root = tmp_path / "below"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_text("hello")
    (root / "hostname").write_text("one")
    (root / "link").symlink_to("etc")
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
    (upper / "hostname").write_text("two")
    root = laid(tmp_path, below, upper)
    assert (root / "hostname").read_text() == "two"
    assert (root / "etc" / "motd").samefile(below / "etc" / "motd")
    assert (root / "link").readlink() == Path("etc")


def test_the_layers_are_left_as_they_are(tmp_path: Path, below: Path, upper: Path) -> None:
    (upper / "hostname").write_text("two")
    laid(tmp_path, below, upper)
    assert (below / "hostname").read_text() == "one"


def test_a_directory_takes_the_place_of_a_file_and_of_a_link(
    tmp_path: Path, below: Path, upper: Path
) -> None:
    for name in ("hostname", "link"):
        (upper / name).mkdir()
        (upper / name / "inside").touch()
    root = laid(tmp_path, below, upper)
    assert (root / "hostname" / "inside").exists()
    assert not (root / "link").is_symlink()
    assert not (root / "etc" / "inside").exists()


def test_a_file_takes_the_place_of_a_directory(tmp_path: Path, below: Path, upper: Path) -> None:
    (upper / "etc").write_text("a file now")
    assert (laid(tmp_path, below, upper) / "etc").read_text() == "a file now"


def test_modes_and_times_of_directories_are_the_upper_ones(
    tmp_path: Path, below: Path, upper: Path
) -> None:
    (upper / "etc").mkdir()
    (upper / "etc").chmod(0o2750)
    os.utime(upper / "etc", (EPOCH, EPOCH))
    seen = (laid(tmp_path, below, upper) / "etc").stat()
    assert (oct(seen.st_mode)[-4:], seen.st_mtime) == ("2750", EPOCH)


# --- settle --------------------------------------------------------------------------------------


def test_no_time_is_later_than_the_epoch(below: Path) -> None:
    os.utime(below / "hostname", (EPOCH - 5, EPOCH - 5))
    farm.settle(below, EPOCH)
    times = {path.name: path.lstat().st_mtime for path in (below, *below.rglob("*"))}
    assert times == {
        "below": EPOCH,
        "etc": EPOCH,
        "motd": EPOCH,
        "link": EPOCH,
        "hostname": EPOCH - 5,
    }
