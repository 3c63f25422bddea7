"""What a tree of files is, as one digest: the same for every format that it was carried in.

Covers names, types, owners, modes, whole-second dates, contents, link targets, hard links, device
numbers and the attributes that are carried (file capabilities, `user.*`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vct.build.archive_tree import (
    FORBIDDEN_XATTRS,
    HARMLESS_DEVICES,
    KEPT_XATTRS,
    leads_out,
)
from vct.errors import VctError

BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFacts:
    """A tree's `digest` (sha256), bytes in its files (hard links once), entries below its root."""

    digest: str
    size: int
    entries: int


def tree_facts(root: Path) -> TreeFacts:
    """Read a whole tree. Follows no link, so the root may be one that is not trusted."""
    digest = hashlib.sha256()
    size = entries = 0
    first_names: dict[int, str] = {}
    for name, path in _walk(str(root)):
        found = os.lstat(path)
        entries += bool(name)
        several = stat.S_ISREG(found.st_mode) and found.st_nlink > 1
        first = first_names.setdefault(found.st_ino, name) if several else name
        if stat.S_ISREG(found.st_mode) and first == name:
            size += found.st_size
        digest.update(_line(name, first, path, found))
    return TreeFacts(digest=digest.hexdigest(), size=size, entries=entries)


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """Name below the root and path of everything, the root first, sorted in each directory."""
    yield "", root
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        with os.scandir(f"{root}/{directory}") as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        for entry in entries:
            name = f"{directory}/{entry.name}" if directory else entry.name
            yield name, entry.path
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)


def _line(name: str, first: str, path: str, found: os.stat_result) -> bytes:
    mode = found.st_mode
    what: object = ""
    if stat.S_ISLNK(mode):
        what = os.fsencode(os.readlink(path))  # noqa: PTH115 - thousands, only strings
    elif stat.S_ISREG(mode):
        what = _content(path) if first == name else os.fsencode(first)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        what = found.st_rdev
    # A link's own mode means nothing, and not every file system keeps it.
    modes = stat.S_IFMT(mode) if stat.S_ISLNK(mode) else mode
    facts = (os.fsencode(name), modes, found.st_uid, found.st_gid, int(found.st_mtime), what)
    return repr((facts, _attributes(path))).encode() + b"\n"


def _content(path: str) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while block := os.read(descriptor, BLOCK):
            digest.update(block)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _attributes(path: str) -> list[tuple[str, bytes]]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return [
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in names
        if name.startswith(KEPT_XATTRS)
    ]


def file_digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joined_digest(*paths: Path) -> str:
    """The sha256 of files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def check_tree(root: Path, source: str, *, size_max: int, entries_max: int) -> None:
    """The rules of vct.build.archive for a tree that is there: raises VctError for devices that no
    root file system needs, attributes that overlayfs obeys, links out of the root, too much."""
    size = 0
    counted: set[int] = set()
    for entries, (name, path) in enumerate(_walk(str(root))):  # the root itself is not one
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and found.st_ino not in counted:
            size += found.st_size
            counted.add(found.st_ino)
        problem = _problem(name, path, found)
        if size > size_max or entries > entries_max:
            problem = "there is more in it than it was said to hold"
        if problem:
            raise VctError(
                f"{source} is not usable: {problem}",
                hint="nothing of it was kept; get it again from where you trust it",
            )


def _problem(name: str, path: str, found: os.stat_result) -> str:
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        target = os.readlink(path)  # noqa: PTH115 - as above
        if leads_out(tuple(name.split("/")), target):
            return f"the link {name!r} leads out of the root: {target!r}"
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        number = (os.major(found.st_rdev), os.minor(found.st_rdev))
        harmless = stat.S_ISCHR(mode) and number in HARMLESS_DEVICES and name.startswith("dev/")
        if not harmless:
            return f"{name!r} is a device, pipe or socket that no root file system needs"
    for attribute in os.listxattr(path, follow_symlinks=False):
        if attribute.startswith(FORBIDDEN_XATTRS):
            return f"{name!r} has the attribute {attribute}"
    return ""
