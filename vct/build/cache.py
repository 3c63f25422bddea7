"""What builds keep for the next one: layers, and downloaded packages. Below `<images>/cache/`.

    layers/<key>/upper/          what one group of steps added, as an overlay's upper directory
                /manifest.json   its inputs; their sha256 is the directory's name
                /layer.json      `id`: which making of it this is; `below`: that of what is below;
                                 `boot`: the boot in which it was made, until it is on the disk
    archives/<arch>/*.deb        packages that apt downloaded and checked
    mirror/<key>/                the mirror's lists of today (vct.build.mirror)
    fetched/<sha256>             files that recipes fetch (vct.build.fetch)

A layer is good only on the very making of the layer below that it was made on: with --no-cache the
same inputs may give other files. Whoever changes or uses the cache holds the store's lock.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vct.build import inputs
from vct.build.layers import Layer
from vct.build.trees import remove_tree

ARCHIVES_MIB = 2048
MIB = 1 << 20
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A layer in the cache. `id` names this making of it."""

    key: str
    id: str
    upper: Path


def layers_directory(images: Path) -> Path:
    return images / "cache" / "layers"


def archives_directory(images: Path, arch: str) -> Path:
    return images / "cache" / "archives" / arch


def mirror_directory(images: Path) -> Path:
    return images / "cache" / "mirror"


def fetched_directory(images: Path) -> Path:
    return images / "cache" / "fetched"


def prepare(images: Path) -> None:
    """Make the cache's directories."""
    for path in (layers_directory(images), images / "cache" / "archives"):
        path.mkdir(parents=True, exist_ok=True)
    (images / "cache").chmod(0o700)


# --- layers --------------------------------------------------------------------------------------


def find_layers(images: Path, layers: Sequence[Layer], ground: str) -> list[Kept]:
    """The lowest of these layers that are in the cache, up to the first that is not.

    `ground` names the making of the parent image that is below the first one.
    """
    found: list[Kept] = []
    for layer in layers:
        kept = find_layer(images, layer.key, found[-1].id if found else ground)
        if kept is None:
            break
        found.append(kept)
    return found


def find_layer(images: Path, key: str, below: str) -> Kept | None:
    """The layer with this key, if it is in the cache and was made on this `below`."""
    place = layers_directory(images) / key
    try:
        told = json.loads((place / "layer.json").read_bytes())
        good = told["below"] == below and told.get("boot") in (None, _boot())
        good = good and (place / "upper").is_dir()
        return Kept(key=key, id=str(told["id"]), upper=place / "upper") if good else None
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError, KeyError):
        return None


def keep_layer(images: Path, layer: Layer, below: str, made: Path) -> Kept:
    """Move a finished layer, the directory that holds its `upper`, into the cache.

    `made` must be on the store's file system. Until `now_on_disk` it is good for this boot only:
    waiting for the disk at each layer would take longer than most of them.
    """
    place = layers_directory(images) / layer.key
    kept = Kept(key=layer.key, id=uuid.uuid4().hex, upper=place / "upper")
    (made / "manifest.json").write_text(inputs.render(layer.manifest))
    told = {"id": kept.id, "below": below, "boot": _boot()}
    (made / "layer.json").write_text(json.dumps(told) + "\n")
    if place.exists():  # made on something that is below no more
        # Another build may have it mounted: what is in tmp/ goes when nobody builds.
        place.rename(images / "tmp" / f"replaced-{kept.id}")
    made.rename(place)
    return kept


def now_on_disk(kept: Iterable[Kept]) -> None:
    """These layers were synced: they are good after a crash of the machine too."""
    for layer in kept:
        file = layer.upper.with_name("layer.json")
        told = json.loads(file.read_bytes())
        if told.pop("boot", None) is not None:
            new = file.with_name(f"layer.{uuid.uuid4().hex}")
            new.write_text(json.dumps(told) + "\n")
            new.rename(file)


def _boot() -> str:
    return BOOT.read_text().strip()


def layer_keys(images: Path) -> list[str]:
    """The keys of all layers in the cache, sorted."""
    try:
        return sorted(path.name for path in layers_directory(images).iterdir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def drop_layers(images: Path, keys: Iterable[str]) -> None:
    """Remove layers. To be called with the store's lock held exclusively."""
    for key in keys:
        place = layers_directory(images) / key
        if place.exists():
            doomed = images / "tmp" / f"removed-layer-{key[:12]}"
            place.rename(doomed)
            remove_tree(doomed)


# --- downloaded packages -------------------------------------------------------------------------


def lend_archives(images: Path, arch: str, place: Path) -> None:
    """Give a build a directory of its own with all packages that are there, as hard links."""
    cache = archives_directory(images, arch)
    cache.mkdir(exist_ok=True)
    (place / "partial").mkdir(parents=True)
    for path in cache.glob("*.deb"):
        try:
            os.link(path, place / path.name)
        except FileNotFoundError:  # another build has just made room
            continue


def take_archives(images: Path, arch: str, place: Path, limit_mib: int = ARCHIVES_MIB) -> None:
    """Keep what a build has downloaded; the oldest go where that is more than `limit_mib`."""
    cache = archives_directory(images, arch)
    for path in place.glob("*.deb"):
        try:
            os.link(path, cache / path.name)
        except FileExistsError:
            continue
    files = sorted(cache.glob("*.deb"), key=lambda path: path.stat().st_ctime, reverse=True)
    room = limit_mib * MIB
    for path in files:
        room -= path.stat().st_size
        if room < 0:
            path.unlink(missing_ok=True)
