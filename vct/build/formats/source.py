"""An image's file tree as a directory to read from, whatever its format in the store.

A squashfs is unpacked by unsquashfs: a kernel may mount one without its attributes (file
capabilities), and then the tree would be another one.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vct.build.trees import remove_tree
from vct.drivers import process
from vct.errors import VctError

MAGIC = b"hsqs"
INODES, BYTES_USED = slice(4, 8), slice(40, 48)  # in the superblock, little-endian
SUPERBLOCK = 96
GIB = 1 << 30
SIZE_COLUMN = re.compile(r"^-\S+\s+\d+/\d+\s+(\d+)\s", re.MULTILINE)
AGAIN = "nothing of it was kept; get it again from where you trust it"


@contextmanager
def opened(path: Path, room: Path) -> Iterator[Path]:
    """The root of a directory or squashfs image; `room` is a directory on a disk with space."""
    if path.is_dir():
        yield path
        return
    place = Path(tempfile.mkdtemp(prefix=".unpacked-", dir=room))
    try:
        unsquash(path, place / "root")
        yield place / "root"
    finally:
        remove_tree(place)


def unsquash(file: Path, target: Path) -> None:
    """Unpack a squashfs with owners, modes, dates and attributes into a new directory. As root."""
    argv = ["unsquashfs", "-quiet", "-no-progress", "-dest", str(target), str(file)]
    done = process.run(argv, check=False)
    if done.code != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[:3]
        raise VctError(
            f"{file.name} cannot be unpacked: {'; '.join(words)}",
            hint=f"replay it with: {process.render_command(argv)}",
        )


def check_squashfs(file: Path, *, size_max: int, entries_max: int) -> None:
    """Raises VctError unless a file looks like a squashfs, complete, and not too large to unpack.

    A first look, before any of it is unpacked: a file with several names counts several times here,
    so what is somewhat too large is found afterwards (vct.build.formats.tree.check_tree).
    """
    with file.open("rb") as stream:
        first = stream.read(SUPERBLOCK)
    used = int.from_bytes(first[BYTES_USED], "little")
    if not first.startswith(MAGIC) or len(first) < SUPERBLOCK:
        raise VctError(f"{file.name} is not a squashfs", hint=AGAIN)
    if file.stat().st_size < used:
        words = f"it has {file.stat().st_size} bytes of {used}"
        raise VctError(f"{file.name} is cut off: {words}", hint=AGAIN)
    if int.from_bytes(first[INODES], "little") > entries_max + 1:
        raise VctError(f"{file.name} has more than {entries_max} entries", hint=AGAIN)
    listed = process.run(["unsquashfs", "-lln", str(file)], check=False)
    if listed.code != 0:
        words = "; ".join((listed.stderr.strip() or listed.stdout.strip()).splitlines()[:3])
        raise VctError(f"{file.name} is damaged: {words}", hint=AGAIN)
    size = sum(int(found) for found in SIZE_COLUMN.findall(listed.stdout))
    if size > size_max + max(size_max, GIB):
        raise VctError(f"{file.name} unpacks to more than {size_max} bytes", hint=AGAIN)
