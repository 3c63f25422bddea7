"""Freeing what nothing uses. `observe` looks at the store and the host, `decide` is pure.

Kept are images that have a name, that a container is configured with or that anything on this host
has mounted; the layers of images that have a name; and the downloaded packages that are in them.
All else only costs time to make again. Called by `vct image gc`, with the store's lock held alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vct.build import cache, store, usage
from vct.build.trees import remove_tree, size_mib
from vct.drivers import process
from vct.errors import VctError

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is in a store and who uses it. Times are ages in seconds."""

    images: Collection[str] = ()
    named: Mapping[str, store.Image] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    layers: Collection[str] = ()
    packages: Mapping[str, Collection[str]] = field(default_factory=dict)
    mirrors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """What can go: digests, layers' keys, package files by architecture, and lists of mirrors."""

    images: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    mirrors: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.images or self.layers or self.packages or self.mirrors)


def decide(facts: Facts) -> Unused:
    """What nothing uses. Pure."""
    kept = {image.digest for image in facts.named.values()} | set(facts.users)
    layers = {key for image in facts.named.values() for key in image.layers.values()}
    installed = {package for image in facts.named.values() for package in image.packages}
    return Unused(
        images=tuple(sorted(set(facts.images) - kept)),
        layers=tuple(sorted(set(facts.layers) - layers)),
        packages=tuple(
            (arch, name)
            for arch, names in sorted(facts.packages.items())
            for name in sorted(names)
            if package_of(name) not in installed
        ),
        mirrors=tuple(sorted(name for name, age in facts.mirrors.items() if age > DAY_S)),
    )


def package_of(file: str) -> str:
    """`name=version` of a package file's name as apt writes it: `:` and some others as %3a."""
    name, _, rest = file.partition("_")
    version = rest.rpartition("_")[0]
    return f"{name}={version.replace('%3a', ':').replace('%3A', ':').replace('%2b', '+')}"


# --- the host ------------------------------------------------------------------------------------


def observe(images: Path, home: Path) -> Facts:
    """What is in the store, and what containers of this state root and mounts of any use."""
    named = {}
    for name, arch in store.image_names(images):
        with suppress(VctError):  # damaged: its name does not keep it
            named[f"{name}.{arch}"] = store.find_image(images, name, arch)
    users = usage.mounted_digests(images)
    for digest, who in usage.configured(home).items():
        users.setdefault(digest, who[0])
    archives = images / "cache" / "archives"
    return Facts(
        images=_names(images / "store"),
        named=named,
        users=users,
        layers=cache.layer_keys(images),
        packages={
            arch: [name for name in _names(archives / arch) if name.endswith(".deb")]
            for arch in _names(archives)
        },
        mirrors={name: _age(images / "cache" / "mirror" / name) for name in _mirrors(images)},
    )


def _mirrors(images: Path) -> list[str]:
    return _names(images / "cache" / "mirror")


def _names(directory: Path) -> list[str]:
    try:
        return sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def paths_of(images: Path, unused: Unused) -> dict[str, list[Path]]:
    """The directories and files of each kind."""
    kept = images / "cache"
    return {
        "images": [images / "store" / digest for digest in unused.images],
        "layers": [cache.layers_directory(images) / key for key in unused.layers],
        "packages": [
            cache.archives_directory(images, arch) / name for arch, name in unused.packages
        ],
        "mirror lists": [kept / "mirror" / name for name in unused.mirrors],
    }


def free(images: Path, unused: Unused) -> None:
    """Remove it, and the locks that nobody holds. The store's lock must be held alone."""
    for kind, paths in paths_of(images, unused).items():
        for path in paths:
            if kind == "packages":
                path.unlink(missing_ok=True)
                continue
            # Moved away first: nothing half-removed under a name that means something.
            doomed = images / "tmp" / f"removed-{path.name[:20]}"
            path.rename(doomed)
            remove_tree(doomed)
    for name, arch in store.image_names(images):
        link = images / "names" / f"{name}.{arch}"
        if not link.exists():
            link.unlink()
    for file in (images / "locks").glob("*"):
        file.unlink(missing_ok=True)


def used_mib(images: Path) -> float:
    """What the store has on the disk; a file that several images share counts once."""
    return size_mib(images)


def gain_mib(images: Path, unused: Unused) -> float:
    """What removing it would free: what is left of the store's size without it."""
    paths = [str(path) for paths in paths_of(images, unused).values() for path in paths]
    excluded = [f"--exclude={path}" for path in paths]
    kib = process.run(["du", "-sk", *excluded, str(images)]).stdout.split()[0]
    return max(0.0, used_mib(images) - int(kib) / 1024)


def words(unused: Unused) -> Sequence[str]:
    """How many of each kind, for people."""
    counts = {
        "image": len(unused.images),
        "layer": len(unused.layers),
        "downloaded package": len(unused.packages),
        "mirror's list": len(unused.mirrors),
    }
    return [f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items() if count]
