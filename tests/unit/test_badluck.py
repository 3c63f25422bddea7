"""Bad luck in small: full disks, damaged records and images, as the pieces see them."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from vct.apply.journal import Journal
from vct.drivers import disk_image
from vct.drivers.hostwide import parse_record
from vct.drivers.textfiles import read, write
from vct.errors import VctError, system_error
from vct.model.settings import load_settings
from vct.plan.steps import Action, Step
from vct.plan.things import Fabric

MIB = 1024 * 1024


def image(file: Path, *, mib: int, magic: int = disk_image.EXT_MAGIC, state: int = 1) -> Path:
    """The part of an ext4 superblock that vct reads: 4 KiB blocks for a size of `mib`."""
    block = bytearray(1024)
    struct.pack_into("<I", block, disk_image.BLOCKS[0], mib * 256)
    struct.pack_into("<I", block, disk_image.BLOCK_SIZE[0], 2)
    struct.pack_into("<HH", block, disk_image.MAGIC[0], magic, state)
    file.write_bytes(bytes(disk_image.SUPERBLOCK) + block)
    with file.open("r+b") as opened:
        opened.truncate(mib * MIB)
    return file


def test_it_works(tmp_path: Path) -> None:
    whole = image(tmp_path / "disk.img", mib=8)
    assert disk_image.filesystem_bytes(whole) == 8 * MIB
    disk_image.check(whole)


def test_an_image_shorter_than_its_file_system_is_damaged(tmp_path: Path) -> None:
    """Enlarging it would hide what is lost."""
    short = image(tmp_path / "disk.img", mib=8)
    with short.open("r+b") as opened:
        opened.truncate(4 * MIB)
    for use in (disk_image.check, disk_image.ready_disk):
        with pytest.raises(VctError, match="shorter than its file system"):
            use(short)
    with pytest.raises(VctError, match="shorter than its file system"):
        disk_image.resize_disk(short, 16)
    assert short.stat().st_size == 4 * MIB


def test_garbage_is_no_file_system(tmp_path: Path) -> None:
    garbage = tmp_path / "disk.img"
    garbage.write_bytes(b"\xff" * 8192)
    assert disk_image.filesystem_bytes(garbage) == 0


def test_a_full_disk_loses_lines_of_the_journal_and_nothing_else(tmp_path: Path) -> None:
    """An undo must go on without them."""
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    step = Step(action=Action.CREATE, thing=Fabric(namespace="vct-ring"), reason="missing")
    Journal(tmp_path / "journal.jsonl").record("begin", step)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "record"
    write(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write(file, "new \udcff")
    assert read(file) == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


@pytest.mark.parametrize("text", ["{", "[]", "7", '"x"', "null"])
def test_a_damaged_record_of_the_host_is_named(text: str) -> None:
    with pytest.raises(VctError, match=r"/run/vct-host\.json") as damaged:
        parse_record(text, Path("/run/vct-host.json"))
    assert "rm /run/vct-host.json" in damaged.value.hint


def test_no_record_of_the_host_means_nothing_was_changed() -> None:
    assert parse_record("", Path("/run/vct-host.json")) == {}


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "df"),
        (errno.EACCES, "sudo"),
        (errno.EROFS, "VCT_HOME"),
        (errno.EIO, "doctor"),
    ],
)
def test_an_error_of_the_system_says_where_and_what_to_do(number: int, hint: str) -> None:
    error = system_error(OSError(number, "words", "/some/file"), "create node 0001")
    assert error.message == "create node 0001: /some/file: words"
    assert hint in error.hint


@pytest.mark.parametrize("place", ["/a b", "/a:b", "/a,b", '/a"b', "/a\nb", "/" + "a" * 80])
def test_a_place_that_some_program_would_misread_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(VctError, match="VCT_HOME") as refused:
        load_settings(tmp_path / "none", {"VCT_HOME": place})
    assert refused.value.exit_code == 2
