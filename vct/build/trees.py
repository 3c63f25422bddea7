"""Deleting directories of ours, and how much a tree has on the disk."""

from __future__ import annotations

from pathlib import Path

from vct.drivers import process


def remove_tree(path: Path) -> None:
    """Delete a directory of ours. Never goes into another file system that is mounted below it."""
    process.run(["rm", "-rf", "--one-file-system", "--", str(path)])


def size_mib(path: Path) -> float:
    """What a file or a tree has on the disk, in MiB; a file with several names counts once."""
    kib = process.run(["du", "-sk", str(path)]).stdout.split()[0]
    return round(int(kib) / 1024, 1)
