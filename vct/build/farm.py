"""Root file systems made of hard links: an image shares every file that it did not change.

Reads layers as the kernel's overlay file system writes them (Documentation/filesystems/overlayfs):
a character device 0:0 says "deleted", the attribute trusted.overlay.opaque on a directory says
"nothing from below". Called by the builder; no file that is linked is ever written again.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

OVERLAY = "trusted.overlay."
OPAQUE = f"{OVERLAY}opaque"


def settle(layer: Path, epoch: int) -> None:
    """Make a layer the same whenever it is made: no time after `epoch`, no traces of the overlay.

    Whiteouts and the mark of opaque directories stay.
    """
    for directory, names, files in os.walk(layer, topdown=False):
        for name in (*names, *files):
            _settle(Path(directory, name), epoch)
    _settle(layer, epoch)


def _settle(path: Path, epoch: int) -> None:
    seen = path.lstat()
    if not stat.S_ISLNK(seen.st_mode) and not is_whiteout(seen):
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith(OVERLAY) and name != OPAQUE:
                os.removexattr(path, name, follow_symlinks=False)
    if seen.st_mtime > epoch:
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def lay(layer: Path, target: Path) -> None:
    """Put a layer (or a whole root) over what is in `target`, files as hard links.

    `target` is made when it is not there; both must be on one file system.
    """
    target.mkdir(exist_ok=True)
    with os.scandir(layer) as entries:
        found = list(entries)
    for entry in found:
        place = target / entry.name
        seen = entry.stat(follow_symlinks=False)
        if is_whiteout(seen):
            _remove(place)
        elif entry.is_dir(follow_symlinks=False):
            if is_opaque(entry.path) or (place.is_symlink() or not place.is_dir()):
                _remove(place)
            lay(Path(entry.path), place)
        else:
            _remove(place)
            _link(entry.path, place)
    _dress(layer, target)


def is_whiteout(seen: os.stat_result) -> bool:
    """Whether an entry of a layer says that what is below it was deleted."""
    return stat.S_ISCHR(seen.st_mode) and seen.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether a directory of a layer hides all that is below it."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _link(source: str, place: Path) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EMLINK or not stat.S_ISREG(Path(source).lstat().st_mode):
            raise
        shutil.copy2(source, place)  # it has as many links as the disk allows
        seen = Path(source).stat()
        os.chown(place, seen.st_uid, seen.st_gid)
        place.chmod(stat.S_IMODE(seen.st_mode))


def _dress(layer: Path, target: Path) -> None:
    """Owner, mode, attributes and times of a directory."""
    seen = layer.stat()
    os.chown(target, seen.st_uid, seen.st_gid)
    target.chmod(stat.S_IMODE(seen.st_mode))
    for name in os.listxattr(layer):
        if not name.startswith(OVERLAY):
            os.setxattr(target, name, os.getxattr(layer, name))
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
