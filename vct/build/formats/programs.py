"""The programs that write images, as argv lists: pure. Same tree and level in, same bytes out.

Thread counts are fixed because they are part of what comes out (xz), not only of how long it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vct.build.archive_tree import KEPT_XATTRS
from vct.build.inputs import EPOCH

THREADS = 2
ZSTD_LEVELS, SQUASHFS_LEVELS, XZ_LEVELS = range(1, 20), range(1, 23), range(10)
# In the archive's own order and with its own dates: only what the tree says is in it. A date's
# fraction of a second would be an extra header for each file, and squashfs could not keep it.
TAR = (
    "tar",
    "--create",
    "--sort=name",
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime,delete=mtime,exthdr.name=%d/PaxHeaders/%f",
    "--numeric-owner",
    "--xattrs",
    *(f"--xattrs-include={name}{'*' if name.endswith(('.', '_')) else ''}" for name in KEPT_XATTRS),
)


def tar_zst(root: Path, output: Path, level: int) -> list[str]:
    """A whole tree as tar.zst."""
    return _tar(root, output, f"zstd --quiet -{level} -T{THREADS}", ["."])


def tar_xz(root: Path, output: Path, level: int, names: Sequence[str] = (".",)) -> list[str]:
    """A whole tree, or some names in a directory, as tar.xz."""
    return _tar(root, output, f"xz -{level} -T{THREADS}", names)


def _tar(root: Path, output: Path, through: str, names: Sequence[str]) -> list[str]:
    return [
        *TAR,
        f"--file={output}",
        f"--use-compress-program={through}",
        f"--directory={root}",
        *names,
    ]


def mksquashfs(root: Path, output: Path, level: int) -> list[str]:
    """A whole tree as squashfs with zstd."""
    return [
        "mksquashfs", str(root), str(output), "-noappend", "-no-progress", "-quiet", "-xattrs",
        "-comp", "zstd", "-Xcompression-level", str(level), "-mkfs-time", str(EPOCH),
        "-processors", str(THREADS),
    ]  # fmt: skip


def copy_tree(root: Path, output: Path) -> list[str]:
    """A whole tree copied into an empty directory, shared with the original where btrfs or XFS
    can."""
    return ["cp", "--archive", "--reflink=auto", f"{root}/.", str(output)]
