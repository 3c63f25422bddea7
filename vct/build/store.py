"""The image store: finished images by the digest of their inputs, and the names that point to them.

    <images>/.vct-images                 the mark: this directory is ours
             lock                        held while a build or a removal works here
             names/<name>.<arch>         link to ../store/<digest>, replaced at one stroke
             store/<digest>/root/        the image's root file system, never changed once it is here
                           /manifest.json  its inputs; their sha256 is the directory's name
                           /record.json    what came out: size, time, packages
             tmp/                        builds under way; whoever holds the lock may clear it
             logs/<name>.<arch>.log      the last build's output

Nothing half-built is ever below `store/`: images are renamed into it when they are on the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.drivers import process
from vct.errors import RefusedError, UsageError, VctError
from vct.paths import IMAGES_MARK

MARK_TEXT = "This directory is vct's image store. See: vct image list\n"
DIGEST = re.compile(r"[0-9a-f]{64}")


class NoImageError(VctError):
    """An image is not built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A finished image. `digest` is the sha256 of its manifest, `root` its file system.

    `built` is the time in UTC (ISO 8601), `packages` are `name=version`, of all layers.
    """

    name: str
    arch: str
    digest: str
    root: Path
    size_mib: float
    built: str
    seconds: float
    packages: tuple[str, ...]
    manifest: dict[str, Any]


def find_image(images: Path, name: str, arch: str) -> Image:
    """The image that this name stands for. Raises NoImageError when there is none."""
    hint = f"run: vct build {name}" + ("" if arch == "amd64" else f" --arch {arch}")
    try:
        digest = (images / "names" / f"{name}.{arch}").readlink().name
        return read_image(images, digest)
    except (FileNotFoundError, NotADirectoryError):
        raise NoImageError(f"image {name} for {arch} is not built", hint=hint) from None
    except PermissionError as error:
        raise VctError(f"the image store cannot be read: {error}", hint="run it as root") from None


def read_image(images: Path, digest: str) -> Image:
    """The image with this digest, checked: its manifest must have it.

    Raises FileNotFoundError when there is none, VctError when it was tampered with or damaged.
    """
    directory = images / "store" / digest
    text = (directory / "manifest.json").read_bytes()
    if hashlib.sha256(text).hexdigest() != digest or not (directory / "root").is_dir():
        raise _damaged(directory)
    try:
        inputs = json.loads(text)
        record = json.loads((directory / "record.json").read_bytes())
        return Image(
            name=inputs["name"],
            arch=inputs["arch"],
            digest=digest,
            root=directory / "root",
            size_mib=record["size_mib"],
            built=record["built"],
            seconds=record["seconds"],
            packages=tuple(record["packages"]),
            manifest=inputs,
        )
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        raise _damaged(directory) from None


def _damaged(directory: Path) -> VctError:
    return VctError(
        f"the image in {directory} is damaged", hint="build it again: vct build --no-cache IMAGE"
    )


def list_images(images: Path) -> list[Image]:
    """All images that have a name, sorted by name and architecture."""
    return [find_image(images, name, arch) for name, arch in image_names(images)]


def image_names(images: Path) -> list[tuple[str, str]]:
    """Names and architectures of the images, sorted. Looks at names only."""
    try:
        links = sorted(path.name for path in (images / "names").iterdir() if path.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(name, arch) for name, _, arch in (link.rpartition(".") for link in links)]


# --- changing ------------------------------------------------------------------------------------


def prepare(images: Path) -> None:
    """Make the store's directories. Raises RefusedError when the place is taken by something else.

    The kernel and LXC write paths of images in lists with `:` and `,` between them.
    """
    if not images.is_absolute() or any(sign in str(images) for sign in ":,\\\n"):
        raise UsageError(
            f"the image store {str(images)!r} must have an absolute path without : , and \\",
            hint="set VCT_IMAGES to another directory",
        )
    taken = images.exists() and not images.is_dir()
    if taken or (images.is_dir() and not (images / IMAGES_MARK).exists() and any(images.iterdir())):
        raise RefusedError(
            f"{images} is not empty and not an image store of vct's",
            hint="set VCT_IMAGES to an empty or new directory",
        )
    images.mkdir(parents=True, exist_ok=True)
    (images / IMAGES_MARK).write_text(MARK_TEXT)
    for name in ("names", "store", "tmp", "logs"):
        (images / name).mkdir(exist_ok=True)
    (images / "tmp").chmod(0o700)


@contextmanager
def lock(images: Path, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the store's lock; `waiting` is told who has it when it is taken. Yields its descriptor.

    A build's sandbox inherits the descriptor, so the lock outlives a killed vct until everything
    that it started is gone too.
    """
    descriptor = os.open(images / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            waiting(f"another build (process {holder}) works in {images}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def clear_stale(images: Path) -> list[str]:
    """Remove what killed builds left in tmp/; to be called with the lock held. Returns names."""
    stale = sorted((images / "tmp").iterdir())
    for path in stale:
        remove_tree(path)
    return [path.name for path in stale]


def remove_tree(path: Path) -> None:
    """Delete a directory of ours. Never goes into another file system that is mounted below it."""
    process.run(["rm", "-rf", "--one-file-system", "--", str(path)])


def publish(images: Path, finished: Path, digest: str) -> None:
    """Move a finished image directory to its final name; it must be on the disk by now."""
    place = images / "store" / digest
    if place.exists():  # built again on request, or damaged
        old = images / "tmp" / f"replaced-{digest[:12]}"
        place.rename(old)
        finished.rename(place)
        remove_tree(old)
    else:
        finished.rename(place)


def point(images: Path, name: str, arch: str, digest: str) -> None:
    """Let a name stand for an image, at one stroke."""
    link = images / "names" / f"{name}.{arch}"
    new = images / "tmp" / f"name-{name}.{arch}"
    new.unlink(missing_ok=True)
    new.symlink_to(Path("..") / "store" / digest)
    new.rename(link)


def remove(images: Path, image: Image) -> None:
    """Remove an image and its name. Raises RefusedError when a container or a mount uses it."""
    check_unused(images, image.digest)
    (images / "names" / f"{image.name}.{image.arch}").unlink(missing_ok=True)
    doomed = images / "tmp" / f"removed-{image.digest[:12]}"
    (images / "store" / image.digest).rename(doomed)
    remove_tree(doomed)


# --- use -----------------------------------------------------------------------------------------


def check_unused(images: Path, digest: str) -> None:
    """Raises RefusedError when some process has a file system mounted from this image."""
    users = mounted_by(images / "store" / digest)
    if users:
        raise RefusedError(
            f"image {digest[:12]} is in use by running containers (process {users[0]})",
            hint="stop them first: vct cleanup",
        )


def mounted_by(path: Path, proc: Path = Path("/proc")) -> list[int]:
    """One process of each mount namespace that has a mount from below `path`.

    Containers' mounts are in namespaces of their own, so the host's mount table is not enough.
    """
    seen: set[int] = set()
    users = []
    needle = str(path)
    for entry in sorted(proc.iterdir()):
        if not entry.name.isdigit():
            continue
        try:
            namespace = (entry / "ns" / "mnt").stat().st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            if needle in (entry / "mountinfo").read_text(errors="replace"):
                users.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return users


def used_by(testbeds: Path, digest: str) -> list[str]:
    """`testbed/node` of the nodes whose LXC configuration names this image, running or not."""
    found = []
    for config in sorted(testbeds.glob("*/nodes/*/config")):
        try:
            if f"/store/{digest}/" in config.read_text(errors="replace"):
                found.append(f"{config.parts[-4]}/{config.parts[-2]}")
        except (FileNotFoundError, PermissionError):
            continue
    return found
