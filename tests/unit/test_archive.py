"""Unpacking archives: what is honest comes out as it went in, all else is refused."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from tests.unit.archives import (
    Entry,
    device,
    directory,
    entry,
    hardlink,
    symlink,
    tar_bytes,
    write,
)
from vct.build.archive import ArchiveError, unpack
from vct.drivers import process
from vct.errors import VctError

HONEST = (
    directory("./"),
    directory("./etc", 0o750),
    entry("./etc/passwd", content=b"root\n", mode=0o640),
    symlink("./bin", "usr/bin"),
    symlink("./etc/mtab", "/proc/mounts"),
    symlink("./etc/localtime", "../usr/share/zoneinfo/UTC"),
    directory("./usr/bin"),
    entry("./usr/bin/ping", content=b"#!", mode=0o4755),
    hardlink("./usr/bin/ping4", "./usr/bin/ping"),
)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_it_works(tmp_path: Path, into: Path) -> None:
    out = unpack(write(tmp_path / "a.tar", *HONEST), into, size_max=1000)
    assert (out.size, out.entries) == (7, 9)
    assert (into / "etc" / "passwd").read_text() == "root\n"
    assert stat.S_IMODE((into / "etc").stat().st_mode) == 0o750
    assert stat.S_IMODE((into / "usr/bin/ping").stat().st_mode) == 0o4755
    assert (into / "etc" / "mtab").readlink() == Path("/proc/mounts")
    assert (into / "usr/bin/ping4").samefile(into / "usr/bin/ping")


def test_dates_are_the_archives(tmp_path: Path, into: Path) -> None:
    unpack(write(tmp_path / "a.tar", *HONEST), into, size_max=1000)
    for name in ("", "etc", "etc/passwd", "bin"):
        assert (into / name).lstat().st_mtime == 1_700_000_000, name


@pytest.mark.skipif(os.geteuid() != 0, reason="owners are root's to give")
def test_owners_and_file_capabilities_are_the_archives(tmp_path: Path, into: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep
    attributes = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
    archive = write(
        tmp_path / "a.tar", entry("ping", uid=1234, gid=56, content=b"x", pax_headers=attributes)
    )
    unpack(archive, into, size_max=10)
    found = (into / "ping").stat()
    assert (found.st_uid, found.st_gid) == (1234, 56)
    assert os.getxattr(into / "ping", "security.capability") == capability


def test_leading_parts_can_be_cut_off(tmp_path: Path, into: Path) -> None:
    archive = write(
        tmp_path / "a.tar",
        directory("root-1.0"),
        entry("root-1.0/etc/passwd", content=b"x"),
        hardlink("root-1.0/etc/group", "root-1.0/etc/passwd"),
    )
    unpack(archive, into, size_max=10, strip=1)
    assert sorted(path.name for path in into.rglob("*")) == ["etc", "group", "passwd"]


def test_a_directory_may_be_named_twice(tmp_path: Path, into: Path) -> None:
    unpack(write(tmp_path / "a.tar", directory("a"), directory("a", 0o700)), into, size_max=1)
    assert stat.S_IMODE((into / "a").stat().st_mode) == 0o700


# --- attacks -------------------------------------------------------------------------------------

ATTACKS: dict[str, tuple[Entry, ...]] = {
    "an absolute name": (entry("/etc/evil"),),
    "a name that goes up": (entry("../evil"),),
    "a name that goes up inside": (entry("a/../../evil"),),
    "a name that goes up and stays inside": (entry("a/../b"),),
    "a name with two leading slashes": (entry("//evil"),),
    "the root as a file": (entry("."),),
    "the root as a link": (symlink("./", "/etc"),),
    "a symbolic link out": (symlink("a", "../evil"),),
    "a symbolic link out, further down": (directory("a"), symlink("a/b", "../../evil")),
    "a symbolic link out and in again": (symlink("a", "../root/etc"),),
    "a symbolic link out by way of inside": (symlink("a", "b/../../evil"),),
    "an absolute symbolic link out": (symlink("a", "/../evil"),),
    "a symbolic link to nothing": (symlink("a", ""),),
    "a file through an absolute link": (symlink("a", "/tmp"), entry("a/evil", content=b"x")),
    "a file through a relative link": (directory("d"), symlink("a", "d"), entry("a/evil")),
    "a directory through a link": (symlink("a", "/tmp"), directory("a/evil")),
    "a link through a link": (symlink("a", "/tmp"), symlink("a/evil", "b")),
    "a directory in place of a link": (symlink("a", "/tmp"), directory("a")),
    "a file over a link": (symlink("a", "/tmp/evil"), entry("a", content=b"x")),
    "a file over a file": (entry("a", content=b"x"), entry("./a", content=b"y")),
    "a file through a file": (entry("a"), entry("a/b")),
    "a hard link to an absolute name": (hardlink("a", "/etc/passwd"),),
    "a hard link that goes up": (hardlink("a", "../../etc/passwd"),),
    "a hard link through a link": (symlink("a", "/etc"), hardlink("b", "a/passwd")),
    "a hard link to what is not there": (hardlink("a", "b"),),
    "a hard link to a directory": (directory("a"), hardlink("b", "a")),
    "a hard link to the root": (hardlink("a", "."),),
    "a file over a hard link": (entry("a"), hardlink("b", "a"), entry("b", content=b"x")),
    "a block device": (device("dev/sda", 8, 0, tarfile.BLKTYPE),),
    "a character device": (device("dev/null", 1, 3),),
    "a pipe": (entry("a", tarfile.FIFOTYPE),),
    "an unknown type": (entry("a", b"Z"),),
    "an owner below all": (entry("a", pax_headers={"uid": "-5"}),),
    "an owner beyond all": (entry("a", pax_headers={"uid": "9999999999"}),),
    "an attribute that overlays obey": (
        entry("a", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
    ),
    "a name that is too long": (entry("a" * 300),),
    "a path without end": (entry("a/" * 3000 + "b"),),
    "a path that is too deep": (entry("a/" * 1000 + "b"),),
    "a date beyond all": (entry("a", pax_headers={"mtime": "9e99"}),),
    "a date that is none": (entry("a", pax_headers={"mtime": "nan"}),),
    "a header without end": (entry("a", pax_headers={"comment": "x" * 1_000_000}),),
    "a sparse map that is none": (
        entry("a", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused(tmp_path: Path, into: Path, attack: str) -> None:
    before = set(tmp_path.rglob("*"))
    archive = write(tmp_path / "evil.tar", *ATTACKS[attack])
    if os.geteuid() != 0 and "an owner" in attack:
        unpack(archive, into, size_max=1000)  # whose files they are is not ours to say
        return
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, into, size_max=1000)
    assert "evil.tar is not usable" in caught.value.message
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(into)]
    assert set(outside) - before == {archive}


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes are root's to make")
class TestDevices:
    """Where they may be: harmless ones, below dev/."""

    def test_a_root_file_systems_own_are_made(self, tmp_path: Path, into: Path) -> None:
        archive = write(tmp_path / "a.tar", device("./dev/null", 1, 3), device("dev/tty", 5, 0))
        unpack(archive, into, size_max=1, devices=True)
        found = (into / "dev" / "null").stat()
        assert stat.S_ISCHR(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o666
        assert found.st_rdev == os.makedev(1, 3)

    @pytest.mark.parametrize(
        "bad",
        [
            device("dev/sda", 8, 0, tarfile.BLKTYPE),
            device("dev/mem", 1, 1),
            device("dev/kmsg", 1, 11),
            device("etc/null", 1, 3),
            device("null", 1, 3),
            device("dev/null", 1, 3, tarfile.BLKTYPE),
            entry("dev/initctl", tarfile.FIFOTYPE),
        ],
        ids=lambda bad: str(bad[0].name),
    )
    def test_others_are_refused(self, tmp_path: Path, into: Path, bad: Entry) -> None:
        with pytest.raises(ArchiveError, match="no root file system needs"):
            unpack(write(tmp_path / "a.tar", bad), into, size_max=1, devices=True)


# --- bombs ---------------------------------------------------------------------------------------


def test_more_bytes_than_allowed_are_refused_before_they_are_written(
    tmp_path: Path, into: Path
) -> None:
    archive = tmp_path / "bomb"
    archive.write_bytes(gzip.compress(tar_bytes([entry("zeros", content=b"\0" * 10_000_000)])))
    with pytest.raises(ArchiveError, match="more than 1000000 bytes"):
        unpack(archive, into, size_max=1_000_000)
    assert not (into / "zeros").exists()


def test_the_sum_counts_not_each_file(tmp_path: Path, into: Path) -> None:
    files = [entry(f"f{number}", content=b"x" * 400) for number in range(3)]
    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        unpack(write(tmp_path / "a.tar", *files), into, size_max=1000)


def test_more_entries_than_allowed_are_refused(tmp_path: Path, into: Path) -> None:
    archive = write(tmp_path / "a.tar", *(directory(f"d{number}") for number in range(20)))
    with pytest.raises(ArchiveError, match="more than 10 entries"):
        unpack(archive, into, size_max=1, entries_max=10)


def test_directories_that_no_entry_names_count_too(tmp_path: Path, into: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 10 entries"):
        unpack(
            write(tmp_path / "a.tar", entry("/".join("abcdefghijklmn")), entry("z")),
            into,
            size_max=1,
            entries_max=10,
        )


def test_what_follows_the_end_is_bounded(tmp_path: Path, into: Path) -> None:
    archive = tmp_path / "bomb"
    archive.write_bytes(gzip.compress(tar_bytes([entry("a")]) + b"\0" * 5_000_000))
    with pytest.raises(ArchiveError, match="larger than what it was said to hold"):
        unpack(archive, into, size_max=1, entries_max=100)


# --- damage --------------------------------------------------------------------------------------


def cut(length: int) -> bytes:
    return tar_bytes((entry("a", content=b"x" * 600), entry("b", content=b"y")))[:length]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or cut off"),
        (b"what is this", "damaged or cut off"),
        (b"\0" * 100, "damaged or cut off"),
        (cut(200), "damaged or cut off"),
        (cut(512 + 300), "cut off"),
        (cut(512 + 1024), "the end is missing"),
        (cut(512 + 1024 + 100), "the end is missing"),
        (cut(512 + 1024) + b"nonsense" * 64 + b"\0" * 1024, "the end is missing"),
    ],
    ids=["empty", "text", "zeros", "header", "data", "end", "second header", "nonsense"],
)
def test_a_damaged_archive_is_refused(
    tmp_path: Path, into: Path, content: bytes, words: str
) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, into, size_max=10_000)


def test_a_directory_with_something_in_it_is_not_unpacked_into(tmp_path: Path, into: Path) -> None:
    (into / "mine").touch()
    with pytest.raises(VctError, match="not empty"):
        unpack(write(tmp_path / "a.tar", *HONEST), into, size_max=1000)


def test_a_sparse_file_comes_out_whole(tmp_path: Path, into: Path) -> None:
    (tmp_path / "holes").write_bytes(b"")
    with (tmp_path / "holes").open("wb") as file:
        file.write(b"begin")
        file.seek(200_000)
        file.write(b"end")
    process.run(["tar", "--sparse", "-C", str(tmp_path), "-cf", str(tmp_path / "a.tar"), "holes"])
    unpack(tmp_path / "a.tar", into, size_max=300_000)
    assert (into / "holes").read_bytes() == (tmp_path / "holes").read_bytes()


def test_an_archive_that_tarfile_made_is_understood(tmp_path: Path, into: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        header = tarfile.TarInfo("long/" + "n" * 150)
        header.size = 3
        archive.addfile(header, io.BytesIO(b"abc"))
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    unpack(tmp_path / "a.tar", into, size_max=10)
    assert (into / "long" / ("n" * 150)).read_bytes() == b"abc"
