"""Unpacking what the host's own programs decompress: told by its contents, damage is found."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.archives import directory, entry, tar_bytes
from vct.build.archive import ArchiveError, unpack
from vct.drivers import process

TREE = (directory("./etc"), entry("./etc/passwd", content=b"root\n"))


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def zstd(raw: bytes) -> bytes:
    done = process.start(["zstd", "--quiet"], stdin=process.PIPE, stdout=process.PIPE)
    return done.communicate(raw)[0]


COMPRESSIONS = pytest.mark.parametrize(
    "compress", [gzip.compress, lzma.compress, zstd], ids=["gzip", "xz", "zstd"]
)


@COMPRESSIONS
def test_it_works(tmp_path: Path, into: Path, compress: Callable[[bytes], bytes]) -> None:
    """Compression is told by the contents, not by the name."""
    archive = tmp_path / "no-ending"
    archive.write_bytes(compress(tar_bytes(TREE)))
    assert unpack(archive, into, size_max=1000).entries == 2


@COMPRESSIONS
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_compressed_archive_is_refused(
    tmp_path: Path, into: Path, compress: Callable[[bytes], bytes], share: float
) -> None:
    packed = compress(tar_bytes((*TREE, entry("noise", content=os.urandom(50_000)))))
    archive = tmp_path / "a.tar.x"
    archive.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(ArchiveError, match="damaged or cut off"):
        unpack(archive, into, size_max=100_000)


@COMPRESSIONS
def test_a_flipped_bit_is_found(
    tmp_path: Path, into: Path, compress: Callable[[bytes], bytes]
) -> None:
    packed = bytearray(compress(tar_bytes((entry("noise", content=os.urandom(50_000)),))))
    packed[len(packed) // 2] ^= 0x10
    archive = tmp_path / "a.tar.x"
    archive.write_bytes(packed)
    with pytest.raises(ArchiveError):
        unpack(archive, into, size_max=100_000)
