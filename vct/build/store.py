"""The image store: finished images by the digest of their inputs, and the names that point to them.

    <images>/.vct-images                 the mark: this directory is ours
             lock                        held by builds together, by a removal alone
             locks/<digest>              held while this image or layer is made
             names/<name>.<arch>         link to ../store/<digest>, replaced at one stroke
             store/<digest>/root/        the image's root file system, never changed once it is here
                           /root.squashfs  or this one, as the recipe says
                           /manifest.json  its inputs; their sha256 is the directory's name
                           /record.json    what came out: size, time, packages
             cache/                      layers and downloaded packages (vct.build.cache)
             tmp/                        builds under way; cleared by who holds the lock alone
             logs/<name>.<arch>.log      the last build's output

Nothing half-built is ever below `store/`: images are renamed into it when they are on the disk.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.build import locks
from vct.build.trees import remove_tree
from vct.build.usage import check_unused as check_unused
from vct.build.usage import mounted_by as mounted_by
from vct.errors import RefusedError, UsageError, VctError
from vct.paths import IMAGES_MARK

MARK_TEXT = "This directory is vct's image store. See: vct image list\n"
DIRECTORY, SQUASHFS = "directory", "squashfs"
ARTEFACTS = {DIRECTORY: "root", SQUASHFS: "root.squashfs"}


class NoImageError(VctError):
    """An image is not built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A finished image. `digest` is the sha256 of its manifest, `path` its file system: a
    directory, or a squashfs file, as `format` says.

    `built` is the time in UTC (ISO 8601), `packages` are `name=version`, of all layers. `made`
    names this making of it: made again from the same inputs it has another one. `layers` are the
    keys of its layers, by label.
    """

    name: str
    arch: str
    digest: str
    format: str
    path: Path
    size_mib: float
    built: str
    made: str
    seconds: float
    packages: tuple[str, ...]
    layers: dict[str, str]
    manifest: dict[str, Any]

    @property
    def root(self) -> Path:
        """The root file system's directory. Raises RefusedError for an image that has none."""
        if self.format != DIRECTORY:
            raise RefusedError(
                f"image {self.name} for {self.arch} is a {self.format}, a directory is needed",
                hint="write output: {format: directory} in its recipe and build it again",
            )
        return self.path


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
    kind = _format(directory)
    if hashlib.sha256(text).hexdigest() != digest or kind is None:
        raise _damaged(directory)
    try:
        inputs = json.loads(text)
        record = json.loads((directory / "record.json").read_bytes())
        return Image(
            name=inputs["name"],
            arch=inputs["arch"],
            digest=digest,
            format=kind,
            path=directory / ARTEFACTS[kind],
            size_mib=record["size_mib"],
            built=record["built"],
            made=record.get("made", record["built"]),
            seconds=record["seconds"],
            packages=tuple(record["packages"]),
            layers=dict(record.get("layers", {})),
            manifest=inputs,
        )
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        raise _damaged(directory) from None


def look_up(images: Path, digest: str) -> Image | None:
    """The image with this digest; None where there is none, or a damaged one."""
    try:
        return read_image(images, digest)
    except (FileNotFoundError, NotADirectoryError, VctError):
        return None


def _format(directory: Path) -> str | None:
    """The format of what is in an image's directory; None when there is nothing."""
    if (directory / ARTEFACTS[DIRECTORY]).is_dir():
        return DIRECTORY
    return SQUASHFS if (directory / ARTEFACTS[SQUASHFS]).is_file() else None


def artefact(directory: Path) -> Path:
    """The file system in an image's directory, which has one."""
    return directory / ARTEFACTS[_format(directory) or DIRECTORY]


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
    for name in ("names", "store", "tmp", "logs", "locks"):
        (images / name).mkdir(exist_ok=True)
    from vct.build import cache  # and with it what reads recipes: who starts nodes needs none of it

    cache.prepare(images)
    (images / "tmp").chmod(0o700)


@contextmanager
def lock(images: Path, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the store's lock alone: no build is under way. Yields its descriptor.

    `waiting` is told who has it when it is taken. What killed builds left is cleared.
    """
    words = f"another vct ({{}}) works in {images}: waiting for it"
    with locks.held(images / "lock", waiting, words) as descriptor:
        clear_stale(images)
        yield descriptor


@contextmanager
def lock_for_build(images: Path, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the store's lock together with other builds, so that nothing is removed meanwhile.

    Yields its descriptor: a build's sandbox inherits it, so the lock outlives a killed vct until
    everything that it started is gone too. Who comes first clears what killed builds left.
    """
    with locks.tried(images / "lock") as alone:
        if alone:
            clear_stale(images)
    words = f"another vct ({{}}) removes images in {images}: waiting for it"
    with locks.held(images / "lock", waiting, words, shared=True) as descriptor:
        yield descriptor


@contextmanager
def lock_one(
    images: Path,
    digest: str,
    waiting: Callable[[str], None],
    *,
    shared: bool = False,
    pause: Callable[[], None] = locks.pause,
) -> Iterator[int]:
    """Hold the lock of one image or layer: alone to make it, together to use it as a parent."""
    words = f"another build ({{}}) makes {digest[:12]}: waiting for it"
    file = images / "locks" / digest
    with locks.held(file, waiting, words, shared=shared, pause=pause) as descriptor:
        yield descriptor


def clear_stale(images: Path) -> list[str]:
    """Remove what killed builds left in tmp/; to be called with the lock held alone."""
    stale = sorted((images / "tmp").iterdir())
    for path in stale:
        remove_tree(path)
    return [path.name for path in stale]


def publish(images: Path, finished: Path, digest: str) -> None:
    """Move a finished image directory to its final name; it must be on the disk by now."""
    place = images / "store" / digest
    if place.exists():  # built again on request, or damaged
        old = finished.with_name(f"{finished.name}-replaced")
        place.rename(old)
        finished.rename(place)
        remove_tree(old)
    else:
        finished.rename(place)


def point(images: Path, name: str, arch: str, digest: str) -> None:
    """Let a name stand for an image, at one stroke."""
    link = images / "names" / f"{name}.{arch}"
    new = images / "tmp" / f"name-{name}.{arch}.{uuid.uuid4().hex}"
    new.symlink_to(Path("..") / "store" / digest)
    new.rename(link)


def remove(images: Path, image: Image) -> None:
    """Remove an image and its name. Raises RefusedError when a container or a mount uses it."""
    check_unused(images, image.digest)
    (images / "names" / f"{image.name}.{image.arch}").unlink(missing_ok=True)
    doomed = images / "tmp" / f"removed-{image.digest[:12]}"
    (images / "store" / image.digest).rename(doomed)
    remove_tree(doomed)
