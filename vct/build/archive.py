"""Unpacking archives that others made: nothing is written outside, nothing is believed.

A tar archive, plain or compressed (zstd, xz, gzip: told by its first bytes), is read as a stream
and written below one directory by descriptors that follow no link (archive_tree). Python's own
`data` filter is too strict for root file systems (it drops owners and absolute links), its `tar`
filter too lax, so the rules are here. Called by imports and by recipes that start from an archive.
"""

from __future__ import annotations

import errno
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vct.build.archive_tree import ArchiveError, Tree, inner_path
from vct.drivers import process
from vct.errors import VctError, system_error

__all__ = ["ENTRIES_MAX", "ArchiveError", "Unpacked", "unpack"]

ENTRIES_MAX = 1_000_000
EXTENSION_MAX = 1 << 17  # bytes of one extended header (names, attributes): Python keeps it whole
ENTRY_ROOM = 8192  # bytes of headers, long names and padding: more than any honest entry has
BUFFER = 1 << 20
EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# Both refuse a file that wants more memory than this.
DECOMPRESSORS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "--decompress", "--stdout", "--quiet", "--memory=256MB"),
    b"\xfd7zXZ\x00": ("xz", "--decompress", "--stdout", "--quiet", "--memlimit=256MiB"),
    b"\x1f\x8b": ("gzip", "--decompress", "--stdout", "--quiet"),
}
# What tarfile's parsing raises for nonsense in a header.
DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, KeyError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What came out of an archive: `size` bytes in files, and `entries` of all kinds."""

    size: int
    entries: int


def unpack(
    archive: Path,
    into: Path,
    *,
    size_max: int,
    strip: int = 0,
    devices: bool = False,
    entries_max: int = ENTRIES_MAX,
) -> Unpacked:
    """Unpack a tar archive into an empty directory, as root with owners, modes and attributes.

    At most `size_max` bytes of files and `entries_max` entries come out. `strip` leading parts of
    every path are cut off. `devices` allows the harmless devices of a root file system, below dev/
    only (null, zero, full, random, urandom, tty, console, ptmx).

    Raises ArchiveError for an archive that is damaged, cut off, larger than allowed, or would reach
    out of the directory; VctError when the disk is full. What is in `into` then is to be removed.
    """
    try:
        with _stream(archive) as stream, Tree(into, archive, devices=devices) as tree:
            room = size_max + entries_max * ENTRY_ROOM + tarfile.RECORDSIZE
            metered = _Metered(stream, archive, room)
            for entry in _entries(metered, archive):
                _put(tree, entry, strip, size_max, entries_max)
            metered.drain()
            tree.finish()
            return Unpacked(size=tree.size, entries=tree.entries)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS):
            raise system_error(error, f"unpacking {archive}") from error
        raise ArchiveError(archive, f"an entry cannot be written: {error}") from error


def _put(tree: Tree, entry: _Entry, strip: int, size_max: int, entries_max: int) -> None:
    header = entry.header
    path = inner_path(header.name, tree.archive)
    parts = path[strip:]
    linked = header.linkname
    if header.islnk():
        linked = "/".join(inner_path(header.linkname, tree.archive)[strip:])
    if tree.entries >= entries_max:
        raise ArchiveError(tree.archive, f"it has more than {entries_max} entries")
    if header.isreg() and header.size > size_max - tree.size:
        raise ArchiveError(tree.archive, f"it unpacks to more than {size_max} bytes")
    if not parts:
        if not header.isdir():
            raise ArchiveError(tree.archive, f"{header.name!r} is not below the root")
        if len(path) == strip:
            tree.top(header)
        return
    tree.put(parts, header, linked, entry.content)


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    header: tarfile.TarInfo
    content: Iterator[bytes]


class _Header(tarfile.TarInfo):
    """A header that is refused when what it announces is nonsense or too large to be kept."""

    def _proc_member(self, reader: tarfile.TarFile) -> Any:
        """Where tarfile's own comments tell subclasses to step in: the header has been read."""
        if self.size < 0:
            raise tarfile.ReadError("an entry of negative size")
        if self.type in EXTENSIONS and self.size > EXTENSION_MAX:
            raise tarfile.ReadError(f"an extended header of {self.size} bytes")
        return super()._proc_member(reader)  # type: ignore[misc]  # typeshed leaves it out


def _entries(stream: _Metered, archive: Path) -> Iterator[_Entry]:
    """The archive's entries; each one's content must be read before the next is asked for."""
    try:
        with tarfile.open(
            fileobj=stream,  # type: ignore[call-overload]  # read() is all that a stream needs
            mode="r|",
            tarinfo=_Header,
            bufsize=BUFFER,
        ) as reader:
            while (header := reader.next()) is not None:
                reader.members = []  # else it keeps all headers
                yield _Entry(header, _content(reader, header, archive))
            ended = stream.has_zeros_at(reader.offset)
    except DAMAGE as error:
        raise ArchiveError(archive, f"it is damaged or cut off: {error}") from error
    if not ended:  # tarfile takes nonsense between entries for the end
        raise ArchiveError(archive, "it is damaged or cut off: the end is missing")


def _content(reader: tarfile.TarFile, header: tarfile.TarInfo, archive: Path) -> Iterator[bytes]:
    content = reader.extractfile(header) if header.isreg() else None
    left = header.size if content else 0
    while content is not None and left:
        try:
            block = content.read(min(left, BUFFER))
        except DAMAGE as error:
            raise ArchiveError(archive, f"it is damaged or cut off: {error}") from error
        if not block:
            raise ArchiveError(archive, f"it is cut off in {header.name!r}")
        left -= len(block)
        yield block


class _Metered:
    """A stream that refuses to go on after a number of bytes: tarfile asks only for `read`."""

    def __init__(self, stream: IO[bytes], archive: Path, limit: int) -> None:
        self._stream, self._archive, self._left = stream, archive, limit
        self._at, self._last = 0, b""

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._at, self._last = self._at + len(self._last), block
        self._left -= len(block)
        if self._left < 0:
            raise ArchiveError(self._archive, "it is larger than what it was said to hold")
        return block

    def has_zeros_at(self, offset: int) -> bool:
        """Whether a block of zeros, the mark of an end, is here in what was read last."""
        block = self._last[offset - self._at :][: tarfile.BLOCKSIZE] if offset >= self._at else b""
        return block == bytes(tarfile.BLOCKSIZE)

    def drain(self) -> None:
        """Read what follows the end, so that the decompressor can check its sums and end well."""
        while self.read(BUFFER):
            pass


@contextmanager
def _stream(archive: Path) -> Iterator[IO[bytes]]:
    """The archive's bytes, decompressed. Raises ArchiveError when its compression is damaged."""
    with archive.open("rb", buffering=0) as file:  # the decompressor shares its position
        first = file.read(6)
        file.seek(0)
        argv = next((argv for magic, argv in DECOMPRESSORS.items() if first.startswith(magic)), ())
        if not argv:
            yield file
            return
        with tempfile.TemporaryFile() as said, _running(argv, file, said) as running:
            assert running.stdout is not None  # noqa: S101 - a pipe
            failed: VctError | None = None
            try:
                yield running.stdout
            except ArchiveError as error:
                failed = error
            running.stdout.close()
            code = running.wait()
            said.seek(0)
            words = said.read(2000).decode(errors="replace").strip()
            # A decompressor that we no longer listened to dies of SIGPIPE, quietly.
            if code and words:
                raise ArchiveError(archive, f"it is damaged or cut off: {words}") from failed
            if failed is not None:
                raise failed
            if code:
                raise ArchiveError(archive, f"it cannot be decompressed ({argv[0]}: {code})")


@contextmanager
def _running(argv: tuple[str, ...], file: IO[bytes], said: IO[bytes]) -> Iterator[process.Process]:
    """A decompressor, ended when the block is."""
    running = process.start(argv, stdin=file, stdout=process.PIPE, stderr=said, new_session=True)
    try:
        with closing(running.stdout) if running.stdout else closing(file):
            yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
