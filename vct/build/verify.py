"""How two root file systems differ, file by file, in the facts that a tree's digest is made of.

The digest itself is formats.tree's: the builder writes it into an image's record, and it is the
same for every format. Called by `vct image verify`. Knows nothing of stores and recipes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from vct.build.archive_tree import KEPT_XATTRS
from vct.build.formats.tree import file_digest, tree_facts

Facts = dict[str, str]
"""What a file is, by the words that differences are told with."""

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


def tree_digest(root: Path) -> str:
    """sha256 of a tree: paths, kinds, modes, owners, contents, links, devices, xattrs, dates."""
    return tree_facts(root).digest


def artefact_digest(artefact: Path) -> str:
    """What an image's record says of it: a tree's digest, or the sha256 of a squashfs file."""
    return tree_digest(artefact) if artefact.is_dir() else file_digest(artefact)


def describe(root: Path) -> Iterator[tuple[str, Facts]]:
    """Every file below `root` and itself (`.`), in the order of the bytes of their paths."""
    first_names: dict[tuple[int, int], str] = {}
    for name in chain((".",), _names(root)):
        path = root / name
        seen = path.lstat()
        facts = _facts(path, seen)
        if stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
            first = first_names.setdefault((seen.st_dev, seen.st_ino), name)
            if first != name:
                facts["same as"] = first
        yield name, facts


def _names(root: Path) -> list[str]:
    found = []
    for directory, below, files in os.walk(root):
        relative = Path(directory).relative_to(root)
        found += [str(relative / name) for name in (*below, *files)]
    return sorted(found, key=os.fsencode)


def _facts(path: Path, seen: os.stat_result) -> Facts:
    kind = stat.S_IFMT(seen.st_mode)
    facts = {
        "kind": KINDS.get(kind, oct(kind)),
        "mode": "" if kind == stat.S_IFLNK else f"{stat.S_IMODE(seen.st_mode):04o}",
        "owner": f"{seen.st_uid}:{seen.st_gid}",
        "date": str(int(seen.st_mtime)),
    }
    if kind == stat.S_IFREG:
        facts["size"] = str(seen.st_size)
        facts["content"] = _content(path)
    elif kind == stat.S_IFLNK:
        facts["target"] = str(path.readlink())
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts["device"] = f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name.startswith(KEPT_XATTRS):
            facts[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    return facts


def _content(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- differences ---------------------------------------------------------------------------------


def tree_differences(old: Path, new: Path, most: int = 20) -> list[str]:
    """How two trees differ, a line for each file, at most `most`; none when they are the same."""
    before, after = dict(describe(old)), dict(describe(new))
    lines = []
    for name in sorted(before.keys() | after.keys(), key=os.fsencode):
        words = _difference(before.get(name), after.get(name))
        if words:
            lines.append(f"/{name}: {words}" if name != "." else f"/: {words}")
    if len(lines) > most:
        lines[most:] = [f"and {len(lines) - most} more"]
    return lines


def _difference(old: Facts | None, new: Facts | None) -> str:
    if old is None or new is None:
        return "only in the new one" if old is None else "only in the old one"
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    told = [
        key
        if key == "content" or "." in key
        else f"{key} {old.get(key, 'none')} → {new.get(key, 'none')}"
        for key in changed
    ]
    return ", ".join(told)
