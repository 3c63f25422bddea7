"""A squashfs that a recipe starts from is no more believed than any other archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.fetch import unpack
from vct.drivers import process
from vct.errors import VctError
from vct.model.recipe import Fetch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What a layer begins with."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def packed(place: Path, *more: str) -> Path:
    """A squashfs with one file and what mksquashfs(1) calls pseudo files."""
    (place / "tree" / "etc").mkdir(parents=True)
    (place / "tree" / "etc" / "motd").write_text("hello\n")
    words = [word for one in more for word in ("-p", one)]
    file = place / "file"
    argv = ["mksquashfs", str(place / "tree"), str(file), "-quiet", "-no-progress", *words]
    process.run(argv)
    return file


def wanted(size_max_mib: int = 16) -> Fetch:
    return Fetch(
        url="file:///file", sha256="", format="squashfs", strip=0, size_max_mib=size_max_mib
    )


def test_it_works(tmp_path: Path, root: Path) -> None:
    file = packed(tmp_path, "etc/mtab s 777 0 0 /proc/mounts", "dev d 755 0 0")
    unpack(wanted(), file, root)
    assert (root / "etc" / "motd").read_text() == "hello\n"
    assert root.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("etc/sda b 666 0 0 8 0", "is a device"),
        ("etc/out s 777 0 0 ../../shadow", "leads out of the root"),
    ],
)
def test_what_no_root_file_system_needs_is_refused(
    tmp_path: Path, root: Path, more: str, words: str
) -> None:
    with pytest.raises(VctError, match=words):
        unpack(wanted(), packed(tmp_path, more), root)


def test_more_than_was_declared_is_refused(tmp_path: Path, root: Path) -> None:
    file = packed(tmp_path, "big f 644 0 0 head -c 2M /dev/zero")
    with pytest.raises(VctError, match="more in it than it was said to hold"):
        unpack(wanted(size_max_mib=1), file, root)


def test_one_that_is_cut_off_is_refused(tmp_path: Path, root: Path) -> None:
    file = packed(tmp_path)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(VctError, match="is cut off"):
        unpack(wanted(), file, root)
