"""A node's disk image: a sparse ext4 file system of fixed size in a file, its writable layer.

It is mounted in the mount namespace of the node's monitor only, where vct cannot resize it: a disk
of a running node is enlarged as a file, and its file system follows at the node's next start.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from vct.drivers.process import CommandError, run
from vct.drivers.textfiles import GONE
from vct.errors import RefusedError, VctError

MIB = 1024 * 1024
# No journal: a node's layer lives as long as its testbed. No lazy initialisation: nothing would
# write to the image behind our back. 4,096 bytes per inode: Debian's files are small.
MKFS = ("mkfs.ext4", "-q", "-F", "-m0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard")
# Documentation/filesystems/ext4/super.rst of Linux: offset and size of fields
SUPERBLOCK = 1024
BLOCKS, BLOCK_SIZE, STATE, BLOCKS_HIGH = (0x4, 4), (0x18, 4), (0x3A, 2), (0x150, 4)
FREE, FREE_HIGH = (0xC, 4), (0x158, 4)
MAGIC, EXT_MAGIC = (0x38, 2), 0xEF53
CLEAN = 1
PAGE = 4096  # sysfs tells no more at once


def make_disk(path: Path, size_mib: int) -> None:
    """A sparse ext4 image of exactly this size."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.truncate(size_mib * MIB)
        for offset, data in _blank(size_mib, path.parent):
            file.seek(offset)
            file.write(data)
    temporary.rename(path)


_blanks: dict[int, list[tuple[int, bytes]]] = {}
_blanks_lock = threading.Lock()


def _blank(size_mib: int, directory: Path) -> list[tuple[int, bytes]]:
    """What mkfs writes into an image of this size, 0.4 MB in a few pieces, by offset.

    Made once per run of vct: writing the pieces again takes 0.3 ms, mkfs 6 ms.
    """
    with _blanks_lock:
        if size_mib not in _blanks:
            image = directory / f".blank-{size_mib}.new"
            try:
                with image.open("wb") as file:
                    file.truncate(size_mib * MIB)
                run([*MKFS, str(image)])
                _blanks[size_mib] = list(_pieces(image))
            finally:
                image.unlink(missing_ok=True)
        return _blanks[size_mib]


def _pieces(image: Path) -> Iterator[tuple[int, bytes]]:
    """The parts of a sparse file that are not holes (lseek(2), SEEK_DATA)."""
    with image.open("rb") as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield start, os.pread(file.fileno(), end - start, start)


def resize_disk(image: Path, size_mib: int) -> None:
    """Give an image another size; what is on it stays.

    Raises RefusedError if it would have to shrink while it is in use, or holds too much.
    """
    size = size_mib * MIB
    if filesystem_bytes(image) > image.stat().st_size:
        raise _damaged(image, "it is shorter than its file system")
    if filesystem_bytes(image) > size:
        if loop_device(image):
            raise RefusedError(
                f"the disk of node {image.parent.name} cannot shrink while it is in use",
                hint=f"first: vct node stop {image.parent.name}",
            )
        check(image, always=True)
        _shrink(image, size_mib)
    os.truncate(image, size)


def ready_disk(image: Path) -> None:
    """Make an image fit to be mounted: whole after a power cut, as large as its file."""
    check(image)
    if filesystem_bytes(image) < image.stat().st_size:
        check(image, always=True)  # resize2fs insists
        run(["resize2fs", str(image)])


def check(image: Path, *, always: bool = False) -> None:
    """Repair an image that was not unmounted cleanly. Raises VctError if that needs a person."""
    if filesystem_bytes(image) > image.stat().st_size:
        raise _damaged(image, "it is shorter than its file system")
    if not always and filesystem_bytes(image) and _field(image, STATE) == CLEAN:
        return
    done = run(["e2fsck", "-fp" if always else "-p", str(image)], check=False)
    if done.code > 1:  # 1: repaired (e2fsck(8))
        raise _damaged(image, done.stdout.strip() or done.stderr.strip())


def _damaged(image: Path, words: str) -> VctError:
    return VctError(
        f"the disk image {image} is damaged: {words}",
        hint=f"repair it: e2fsck {image}\n"
        f"or start over: vct node remove {image.parent.name}; vct init",
    )


def filesystem_bytes(image: Path) -> int:
    """How large the file system in an image is; 0 if there is none."""
    if _field(image, MAGIC) != EXT_MAGIC:
        return 0
    blocks = _field(image, BLOCKS) + (_field(image, BLOCKS_HIGH) << 32)
    return blocks * (1024 << _field(image, BLOCK_SIZE))


def free_bytes(image: Path) -> int:
    """How much room the file system in an image has, as it was when it was last unmounted."""
    free = _field(image, FREE) + (_field(image, FREE_HIGH) << 32)
    return free * (1024 << _field(image, BLOCK_SIZE))


def loop_device(image: Path) -> str:
    """The loop device that an image is attached to, empty if it is not in use."""
    return next((device for device, file in _attached() if file == str(image)), "")


def loop_devices(directory: Path) -> list[str]:
    """The loop devices that files below a directory are attached to."""
    return [device for device, file in _attached() if file.startswith(f"{directory}/")]


def _attached() -> Iterator[tuple[str, str]]:
    for name in os.listdir("/sys/block"):  # noqa: PTH208
        if name.startswith("loop") and (file := _backing_file(name)):
            yield f"/dev/{name}", file


def _backing_file(loop: str) -> str:
    """The file of a loop device, empty if it is not in use. A hundred devices are looked through
    for each node: this takes 5 us, textfiles.read 15."""
    try:
        descriptor = os.open(f"/sys/block/{loop}/loop/backing_file", os.O_RDONLY)
        try:
            return os.read(descriptor, PAGE).decode(errors="replace").strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def _shrink(image: Path, size_mib: int) -> None:
    try:
        run(["resize2fs", str(image), f"{size_mib}M"])
    except CommandError as error:
        node = image.parent.name
        raise RefusedError(
            f"the disk of node {node} cannot shrink to {size_mib} MiB: {error.message}",
            hint=f"delete files in the node, or start over: vct node remove {node}",
        ) from error


def _field(image: Path, field: tuple[int, int]) -> int:
    offset, size = field
    with image.open("rb") as file:
        file.seek(SUPERBLOCK + offset)
        return int.from_bytes(file.read(size), "little")
