"""One directory that archives are unpacked into, and the rules of what may stand there.

Every path is walked part by part from the directory's own descriptor, following no link, so that
an entry cannot be written through a link that an earlier entry made. What is there is never
replaced: two entries of one name are refused. Used by vct.build.archive.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from vct.errors import VctError

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Character devices that open no door: null, zero, full, random, urandom, tty, console, ptmx.
HARMLESS_DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
XATTR_HEADER = "SCHILY.xattr."
KEPT_XATTRS = ("security.capability", "user.", "system.posix_acl_")
FORBIDDEN_XATTRS = ("trusted.",)  # overlayfs and others take orders from them
NAME_MAX = 3500  # bytes of a whole path: PATH_MAX less room for where it is unpacked
DEPTH_MAX = 200  # what tools that recurse can walk
ID_MAX = 0xFFFF_FFFE  # the last number that is a user's or group's
Parts = tuple[str, ...]


class ArchiveError(VctError):
    """An archive that is damaged, or not safe to unpack."""

    def __init__(self, archive: Path, problem: str) -> None:
        super().__init__(
            f"the archive {archive.name} is not usable: {problem}",
            hint="nothing of it was kept; get it again from where you trust it",
        )
        self.problem = problem


def inner_path(name: str, archive: Path) -> Parts:
    """`./etc/passwd` to its parts. Raises ArchiveError for a name that is not below the root."""
    if "\0" in name:
        raise ArchiveError(archive, f"a name has a zero byte: {name!r}")
    if len(os.fsencode(name)) > NAME_MAX:
        raise ArchiveError(archive, f"a name is too long: {name[:40]!r}…")
    if name.startswith("/"):
        raise ArchiveError(archive, f"a name is absolute: {name!r}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if len(parts) > DEPTH_MAX:
        raise ArchiveError(archive, f"it is more than {DEPTH_MAX} directories deep")
    if ".." in parts:
        raise ArchiveError(archive, f"a name goes up: {name!r}")
    return parts


def check_target(parts: Parts, target: str, archive: Path) -> None:
    """Raises ArchiveError when a symbolic link at `parts` leads above the root, or nowhere."""
    if not target or "\0" in target:
        raise ArchiveError(archive, f"the link {'/'.join(parts)!r} has no target")
    if leads_out(parts, target):
        raise ArchiveError(
            archive, f"the link {'/'.join(parts)!r} leads out of the root: {target!r}"
        )


def leads_out(parts: Parts, target: str) -> bool:
    """Whether a symbolic link at `parts` leads above the root at any step.

    An absolute target is one from the root, as it is for whoever lives in there.
    """
    depth = 0 if target.startswith("/") else len(parts) - 1
    for part in target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


class Tree:
    """The directory that is filled. A context manager; `finish` dates what is complete."""

    def __init__(self, into: Path, archive: Path, *, devices: bool) -> None:
        self.archive, self.size, self.entries = archive, 0, 0
        self._into, self._devices = into, devices
        self._as_root = os.geteuid() == 0
        self._root = -1
        self._directories: dict[Parts, tarfile.TarInfo | None] = {}
        self._parent: tuple[Parts, int] | None = None

    def __enter__(self) -> Tree:
        self._root = os.open(self._into, DIRECTORY_FLAGS)
        if any(self._into.iterdir()):
            os.close(self._root)
            raise VctError(f"{self._into} is not empty", hint="unpack into a new directory")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
        os.close(self._root)

    # --- entries ---------------------------------------------------------------------------------

    def top(self, header: tarfile.TarInfo) -> None:
        """The root directory's own entry."""
        self._directories[()] = header

    def put(
        self, parts: Parts, header: tarfile.TarInfo, linked: str, content: Iterable[bytes]
    ) -> None:
        """Make one entry. `linked` is a hard link's path below the root, or a symbolic target."""
        self.entries += 1
        try:
            parent = self._directory(parts[:-1])
            self._make(parent, parts, header, linked, content)
        except FileExistsError:
            raise ArchiveError(self.archive, f"{'/'.join(parts)!r} is in it twice") from None
        except NotADirectoryError:
            raise ArchiveError(
                self.archive, f"{'/'.join(parts)!r} would be written through a link or a file"
            ) from None

    def _make(
        self,
        parent: int,
        parts: Parts,
        header: tarfile.TarInfo,
        linked: str,
        content: Iterable[bytes],
    ) -> None:
        name = parts[-1]
        if header.isdir():
            self._make_directory(parent, parts, header)
        elif header.isreg():
            self._make_file(parent, name, header, content)
        elif header.issym():
            check_target(parts, linked, self.archive)
            os.symlink(linked, name, dir_fd=parent)
            self._own_and_date(parent, name, header)
        elif header.islnk():
            self._make_hard_link(parent, name, inner_path(linked, self.archive))
        elif header.ischr() or header.isblk() or header.isfifo():
            self._make_device(parent, parts, header)
        else:
            raise ArchiveError(
                self.archive, f"{'/'.join(parts)!r} is of the unknown type {header.type!r}"
            )

    def _make_directory(self, parent: int, parts: Parts, header: tarfile.TarInfo) -> None:
        if parts not in self._directories:  # else named twice, or made for what is below it
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        self._directories[parts] = header

    def _make_file(
        self, parent: int, name: str, header: tarfile.TarInfo, content: Iterable[bytes]
    ) -> None:
        file = os.open(name, NEW_FILE_FLAGS, 0o600, dir_fd=parent)
        try:
            for block in content:
                left = memoryview(block)
                while left:
                    left = left[os.write(file, left) :]
                self.size += len(block)
            self._finish(file, header)
        finally:
            os.close(file)

    def _make_hard_link(self, parent: int, name: str, target: Parts) -> None:
        if not target:
            raise ArchiveError(self.archive, f"the hard link {name!r} has no target")
        with self._opened(target[:-1], name) as source:
            try:
                found = os.stat(target[-1], dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                raise ArchiveError(
                    self.archive, f"the hard link {name!r} is to {'/'.join(target)!r}, not there"
                ) from None
            if stat.S_ISDIR(found.st_mode):
                raise ArchiveError(self.archive, f"the hard link {name!r} is to a directory")
            os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def _make_device(self, parent: int, parts: Parts, header: tarfile.TarInfo) -> None:
        words = f"{'/'.join(parts)!r} is a device or a pipe"
        if not self._devices:
            raise ArchiveError(self.archive, f"{words}, and there may be none")
        number = (header.devmajor, header.devminor)
        if not header.ischr() or number not in HARMLESS_DEVICES or parts[0] != "dev":
            raise ArchiveError(self.archive, f"{words} that no root file system needs")
        mode = stat.S_IFCHR | (header.mode & 0o666)
        os.mknod(parts[-1], mode, os.makedev(*number), dir_fd=parent)
        os.chmod(parts[-1], header.mode & 0o666, dir_fd=parent)  # mknod takes the umask off
        self._own_and_date(parent, parts[-1], header)

    # --- directories -----------------------------------------------------------------------------

    def _directory(self, parts: Parts) -> int:
        """A descriptor of the directory, made with its parents unless it is there."""
        if self._parent is None or self._parent[0] != parts:
            new = self._open(parts, make=True)
            if self._parent is not None:
                os.close(self._parent[1])
            self._parent = (parts, new)
        return self._parent[1]

    @contextmanager
    def _opened(self, parts: Parts, name: str) -> Iterator[int]:
        try:
            descriptor = self._open(parts, make=False)
        except (FileNotFoundError, NotADirectoryError):
            raise ArchiveError(
                self.archive, f"the hard link {name!r} goes through {'/'.join(parts)!r}"
            ) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, parts: Parts, *, make: bool) -> int:
        current = os.dup(self._root)
        try:
            for depth, part in enumerate(parts, 1):
                if make and parts[:depth] not in self._directories:
                    self._make_parent(current, part)
                    self._directories[parts[:depth]] = None
                    self.entries += 1
                following = os.open(part, DIRECTORY_FLAGS, dir_fd=current)
                os.close(current)
                current = following
        except BaseException:
            os.close(current)
            raise
        return current

    @staticmethod
    def _make_parent(place: int, name: str) -> None:
        try:
            os.mkdir(name, 0o755, dir_fd=place)
        except FileExistsError:  # and it is no directory of ours
            raise NotADirectoryError(name) from None

    def finish(self) -> None:
        """Owners, modes and dates of directories, the deepest first: filling them changes both."""
        for parts in sorted(self._directories, key=len, reverse=True):
            header = self._directories[parts]
            directory = self._open(parts, make=False)
            try:
                if header is None:
                    os.fchmod(directory, 0o755)
                else:
                    self._finish(directory, header)
            finally:
                os.close(directory)

    # --- what an entry is like -------------------------------------------------------------------

    def _finish(self, file: int, header: tarfile.TarInfo) -> None:
        """Owner, mode, attributes and date of an open file or directory, in this order."""
        if self._as_root:
            os.fchown(file, *self._owner(header))
        os.fchmod(file, header.mode & 0o7777)
        for name, value in self._attributes(header):
            os.setxattr(file, name, value)
        os.utime(file, (self._date(header), self._date(header)))

    def _own_and_date(self, parent: int, name: str, header: tarfile.TarInfo) -> None:
        if self._as_root:
            os.chown(name, *self._owner(header), dir_fd=parent, follow_symlinks=False)
        dates = (self._date(header), self._date(header))
        os.utime(name, dates, dir_fd=parent, follow_symlinks=False)

    def _owner(self, header: tarfile.TarInfo) -> tuple[int, int]:
        for number in (header.uid, header.gid):
            if not 0 <= number <= ID_MAX:
                raise ArchiveError(self.archive, f"{header.name!r} has the owner {number}")
        return header.uid, header.gid

    def _date(self, header: tarfile.TarInfo) -> int:
        """Whole seconds: squashfs keeps no more, and the same tree must come out of all formats."""
        if not -(2**31) <= header.mtime < 2**34:
            raise ArchiveError(self.archive, f"{header.name!r} has an impossible date")
        return int(header.mtime)

    def _attributes(self, header: tarfile.TarInfo) -> Sequence[tuple[str, bytes]]:
        found = []
        for key, value in header.pax_headers.items():
            name = key.removeprefix(XATTR_HEADER)
            if name == key or "\0" in name:
                continue
            if name.startswith(FORBIDDEN_XATTRS):
                raise ArchiveError(self.archive, f"{header.name!r} has the attribute {name}")
            if name.startswith(KEPT_XATTRS) and self._as_root:
                found.append((name, value.encode("utf-8", "surrogateescape")))
        return found
