"""Building an image a second time, from the package versions of the first, and comparing the two.

It is done in a store of its own inside of the store's tmp/, which shares the caches of lists and
packages but no layers. What the image starts from is taken as it is. Also: what a lock file says of
an image. Called by `vct image verify` and `vct image lock`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vct.build import cache, inputs, recipes, record, store, verify
from vct.build.builder import build
from vct.build.events import Report, notes
from vct.build.lock import Locked
from vct.build.plan import Wanted, wanted_images
from vct.build.trees import remove_tree
from vct.drivers import process
from vct.errors import VctError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The answer. `changed`: the image's files are not those that were built. `recorded`,
    `found` and `again` are digests: of the record, of the files now, of the second build."""

    name: str
    arch: str
    recorded: str
    found: str
    again: str
    differences: tuple[str, ...]
    seconds: float

    @property
    def changed(self) -> bool:
        return bool(self.recorded) and self.recorded != self.found

    @property
    def identical(self) -> bool:
        return self.found == self.again and not self.changed

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "arch": self.arch,
            "identical": self.identical,
            "changed_since_built": self.changed,
            "recorded": self.recorded,
            "found": self.found,
            "again": self.again,
            "differences": list(self.differences),
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """For people."""
        title = f"{self.name} for {self.arch}"
        if self.identical:
            return [f"{title}: identical ({self.found[:12]}), built again in {self.seconds:.1f} s"]
        first = "its files were changed after it was built" if self.changed else "not identical"
        return [f"{title}: {first}:", *(f"  {line}" for line in self.differences)]


# --- lock files ----------------------------------------------------------------------------------


def locked(images: Path, image: store.Image) -> Locked:
    """What pins an image to the packages that it has."""
    packages = {one.name: (one.version, one.sha256) for one in record.packages_of(image)}
    told = record.read(image)
    return Locked(
        name=image.name,
        arch=image.arch,
        suite=suite_of(images, image),
        tree=told.get("tree", ""),
        packages=packages,
    )


def lock_entry(images: Path, image: store.Image) -> dict[str, Any]:
    """What a lock file says of an image."""
    told = record.read(image)
    mirror = told.get("mirror") or {}
    return {
        "suite": suite_of(images, image),
        "tree": told.get("tree", ""),
        "parameters": parameters_of(images, image),
        "sources": mirror.get("sources", []),
        "left_out": mirror.get("left_out", []),
        "tools": told.get("tools", {}),
        "packages": {
            one.name: {"version": one.version, "sha256": one.sha256}
            for one in record.packages_of(image)
        },
    }


def suite_of(images: Path, image: store.Image) -> str:
    """The Debian release at the bottom of an image; "" for what others made."""
    *_, lowest = _downwards(images, image)
    return str(lowest.manifest.get("bootstrap", {}).get("suite", ""))


def parameters_of(images: Path, image: store.Image) -> dict[str, str]:
    """The parameters that an image and those it starts from were built with."""
    found: dict[str, str] = {}
    for one in _downwards(images, image):
        found = (record.read(one).get("parameters") or {}) | found
    return found


def _downwards(images: Path, image: store.Image) -> Iterator[store.Image]:
    """An image, what it starts from, what that starts from… Raises VctError where one is gone."""
    yield (one := image)
    while "from" in one.manifest:
        parent = store.look_up(images, one.manifest["from"]["digest"])
        if parent is None:
            raise VctError(
                f"what {one.name} for {one.arch} was built on is not in the store any more",
                hint=f"build it again: vct build {image.name} --arch {image.arch}",
            )
        yield (one := parent)


# --- a second time -------------------------------------------------------------------------------


def verify_image(
    name: str,
    arch: str,
    *,
    images: Path,
    own_recipes: Path | None,
    mirror: str,
    progress: Report,
) -> Verified:
    """Build an image again and compare.

    Raises VctError when its recipe has changed since, LockError when the mirror has its packages no
    more.
    """
    image = store.find_image(images, name, arch)
    told = record.read(image)
    want = _wanted_again(image, images, own_recipes, mirror)

    waiting = notes(progress, name, arch)
    with store.lock_for_build(images, waiting), _scratch(images, want) as scratch:
        [built] = build([want], images=scratch, progress=progress)
        again = store.read_image(scratch, built.digest)
        found = verify.artefact_digest(image.path)
        other = verify.artefact_digest(again.path)
        differences = (
            verify.tree_differences(_tree(image, scratch, "old"), _tree(again, scratch, "new"))
            if found != other
            else []
        )
        return Verified(
            name=name,
            arch=arch,
            recorded=told.get("tree", ""),
            found=found,
            again=other,
            differences=tuple(differences),
            seconds=built.seconds,
        )


def _wanted_again(
    image: store.Image, images: Path, own_recipes: Path | None, mirror: str
) -> Wanted:
    """The same image, pinned to its packages. Its recipe must be the same as it was."""
    found = recipes.with_parents(
        [image.name],
        image.arch,
        recipes.recipe_directories(own_recipes),
        parameters_of(images, image),
    )
    level = image.manifest.get("compression")
    if level is not None:
        found[-1] = replace(found[-1], compression=level)
    pins = {(image.name, image.arch): locked(images, image)}
    want = wanted_images(found, mirror, pins)[-1]
    changes = inputs.differences(_without_lock(image.manifest), _without_lock(want.manifest))
    if changes:
        raise VctError(
            f"{image.name} for {image.arch} cannot be built again: its inputs have changed",
            hint="\n".join(
                [*(f"| {line}" for line in changes), f"build it first: vct build {image.name}"]
            ),
        )
    return want


def _without_lock(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key != "lock"}


@contextmanager
def _scratch(images: Path, want: Wanted) -> Iterator[Path]:
    """A store that has the parent and the download caches of `images`, and no layers."""
    scratch = images / "tmp" / f"verify-{want.digest}"
    remove_tree(scratch)
    store.prepare(scratch)
    try:
        for shared in _shared_caches(images):
            shared.mkdir(parents=True, exist_ok=True)
            place = scratch / shared.relative_to(images)
            if place.is_dir():
                place.rmdir()
            place.symlink_to(shared)
        if want.parent is not None:
            (scratch / "store" / want.parent).symlink_to(images / "store" / want.parent)
        yield scratch
    finally:
        remove_tree(scratch)


def _shared_caches(images: Path) -> tuple[Path, ...]:
    archives = images / "cache" / "archives"
    return archives, cache.mirror_directory(images), cache.fetched_directory(images)


def _tree(image: store.Image, scratch: Path, name: str) -> Path:
    """The image's files as a directory."""
    if image.format == store.DIRECTORY:
        return image.path
    place = scratch / "unpacked" / name
    place.parent.mkdir(exist_ok=True)
    process.run(["unsquashfs", "-quiet", "-no-progress", "-dest", str(place), str(image.path)])
    return place
