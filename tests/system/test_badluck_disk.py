"""Full disks, dirty disk images, damaged ones, and records that are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.conftest import LINE, Bed
from tests.system.trouble import journal, node_pids, paths_of, steps_left
from vct.drivers.process import run
from vct.errors import VctError
from vct.verbs.record import load_applied

ONE = 'nodes: {"0001": {}}\n'


@contextmanager
def tiny_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of this size, as the state root's place."""
    place.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size}", "vct-test", str(place)])
    try:
        yield
    finally:
        run(["umount", "--lazy", str(place)])  # the kernel may still be closing the last file
        place.rmdir()


def test_it_works(bed: Bed) -> None:
    """A disk that is full before the first file: clear words, nothing made."""
    with tiny_disk(bed.home, "4k"):
        done = bed.vct("init", str(bed.file(LINE)), check=False)
        assert done.code in (1, 3)
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        bed.vct("cleanup", "--flush")


@pytest.mark.parametrize("size", ["16k", "28k", "40k", "64k", "128k", "512k"])
def test_a_disk_that_fills_up_on_the_way_undoes_init(bed: Bed, size: str) -> None:
    with tiny_disk(bed.home, size):
        done = bed.vct("init", str(bed.file(LINE)), check=False)
        assert "Traceback" not in done.stderr
        assert done.code == 1
        assert "No space left on device" in done.stderr
        assert steps_left(bed, "cleanup", "--flush") == []
        bed.vct("cleanup", "--flush")


def test_a_full_disk_does_not_keep_cleanup_from_its_work(bed: Bed) -> None:
    with tiny_disk(bed.home, "20m"):
        bed.init(ONE)
        filler = bed.home / "filler"
        run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], check=False)
        done = bed.vct("init", str(bed.file('nodes: {"0001": {}, "0002": {}}\n')), check=False)
        assert done.code == 1
        assert "No space left on device" in done.stderr
        assert list(node_pids(bed)) == ["0001"]
        bed.vct("cleanup")
        bed.vct("cleanup", "--flush")


def test_a_disk_image_that_was_not_unmounted_is_repaired(bed: Bed) -> None:
    """As after a power cut: the superblock says so."""
    bed.init(ONE)
    bed.sh("0001", "echo precious >/root/kept; sync")
    bed.vct("node", "stop", "0001")
    image = paths_of(bed).node("0001").disk_image
    run(["debugfs", "-w", "-R", "set_super_value state 0", str(image)])
    bed.vct("node", "start", "0001")
    assert bed.sh("0001", "cat /root/kept").stdout == "precious\n"
    bed.vct("node", "stop", "0001")
    assert run(["e2fsck", "-fn", str(image)], check=False).code == 0


def test_a_truncated_disk_image_is_named(bed: Bed) -> None:
    bed.init(ONE)
    bed.vct("node", "stop", "0001")
    image = paths_of(bed).node("0001").disk_image
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size // 2)
    for arguments in (("node", "start", "0001"), ("init",)):
        done = bed.vct(*arguments, check=False)
        assert done.code == 1
        assert str(image) in done.stderr
        assert "vct node remove 0001" in done.stderr
    bed.vct("--yes", "node", "remove", "0001")
    assert bed.json("init", str(bed.file(ONE)))["ready"] == ["0001"]


@pytest.mark.parametrize("damage", [b"", b"not a file system" * 1000])
def test_a_disk_image_that_is_none_is_named(bed: Bed, damage: bytes) -> None:
    bed.init(ONE)
    bed.vct("node", "stop", "0001")
    image = paths_of(bed).node("0001").disk_image
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.truncate(0)
        file.write(damage)
        file.truncate(size)
    done = bed.vct("node", "start", "0001", check=False)
    assert done.code == 1
    assert str(image) in done.stderr
    assert "vct node remove 0001" in done.stderr


def test_a_damaged_record_is_named_with_the_way_out(bed: Bed) -> None:
    file = str(bed.file(ONE))
    bed.init(ONE)
    record = paths_of(bed).applied
    good = record.read_text()
    for text in (good[: len(good) // 2], "{}", "[]", "null", '{"testbed": 1, "numbers": {}}'):
        record.write_text(text)
        with pytest.raises(VctError, match="damaged"):
            load_applied(paths_of(bed))
    for arguments in (("status",), ("init", file), ("node", "list")):
        done = bed.vct(*arguments, check=False)
        assert (arguments, done.code) == (arguments, 1)
        assert str(record) in done.stderr
        assert "vct init FILE" in done.stderr
    record.unlink()
    assert bed.json("init", file)["ready"] == ["0001"]
    assert steps_left(bed, "init", file) == []


def test_a_damaged_record_does_not_keep_cleanup_from_its_work(bed: Bed) -> None:
    bed.init(ONE)
    paths_of(bed).applied.write_text("{")
    bed.vct("cleanup")
    assert steps_left(bed, "cleanup") == []


def test_a_damaged_journal_harms_nothing(bed: Bed) -> None:
    bed.init(ONE)
    journal(bed).write_bytes(b"\0\xff{half a li")
    bed.vct("node", "stop", "0001")
    assert bed.json("init")["ready"] == ["0001"]
    journal(bed).unlink()
    journal(bed).mkdir()
    bed.vct("cleanup")
