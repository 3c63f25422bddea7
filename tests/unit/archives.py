"""Archives for tests: honest ones, and such as an attacker would make."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: object) -> Entry:
    """One entry with what the header says: mode, linkname, devmajor, size, pax_headers…"""
    header = tarfile.TarInfo(name)
    header.type, header.size, header.mtime, header.mode = kind, len(content), 1_700_000_000, 0o644
    for key, value in more.items():
        setattr(header, key, value)
    return header, content


def directory(name: str, mode: int = 0o755) -> Entry:
    return entry(name, tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> Entry:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def device(name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE) -> Entry:
    return entry(name, kind, devmajor=major, devminor=minor, mode=0o666)


def tar_bytes(entries: Iterable[Entry]) -> bytes:
    """The archive, ended as it should be."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for header, content in entries:
            stream.write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
            stream.write(content)
            stream.write(b"\0" * (-len(content) % tarfile.BLOCKSIZE))
            archive.offset = stream.tell()
    return stream.getvalue()


def write(path: Path, *entries: Entry) -> Path:
    """A tar file of these entries."""
    path.write_bytes(tar_bytes(entries))
    return path
