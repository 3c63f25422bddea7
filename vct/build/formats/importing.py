"""Taking an image that was made elsewhere into the store, under a key of its own.

Its inputs are where it came from and its digest; what made it is only written down. So an imported
image never stands for one that was built here from the same recipe: a build makes its own.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vct.build import inputs, store
from vct.build.archive import ENTRIES_MAX, unpack
from vct.build.formats import description, programs
from vct.build.formats.origin import Origin, Wanted, find_origin
from vct.build.formats.source import MAGIC, check_squashfs, unsquash
from vct.build.formats.tree import TreeFacts, check_tree, tree_facts
from vct.build.trees import remove_tree, size_mib
from vct.drivers import process
from vct.errors import UsageError, VctError

STORED = (store.DIRECTORY, store.SQUASHFS)
DEFAULT_KIND = "node"
QUICK = 3  # of squashfs's 22 levels of compression: a seventh of the time for a tenth of the size
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An image that is in the store now. `known`: it was there before, from the same source."""

    image: store.Image
    source: str
    sha256: str
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user wants it to be; empty where the image's own description decides."""

    name: str = ""
    arch: str = ""
    stored: str = ""


def import_image(images: Path, wanted: Wanted, choice: Choice) -> Imported:
    """Get an image, check it, and put it into the store under its name. Needs root.

    Raises VctError and its kinds (ArchiveError, DownloadError, UsageError); the store is as before.
    """
    store.prepare(images)
    started = time.monotonic()
    with store.lock_for_build(images, wanted.say):
        job = Path(tempfile.mkdtemp(prefix="import-", dir=images / "tmp"))
        try:
            origin = find_origin(replace(wanted, place=job, arch=choice.arch))
            manifest = _manifest(origin, choice)
            digest = inputs.digest(manifest)
            known = store.look_up(images, digest) is not None
            if not known:
                wanted.say(f"unpacking {origin.source}")
                finished = _make(job, origin, manifest, wanted, time.monotonic() - started)
                store.publish(images, finished, digest)
            store.point(images, manifest["name"], manifest["arch"], digest)
        finally:
            remove_tree(job)
        image = store.read_image(images, digest)
    return Imported(image=image, source=origin.source, sha256=origin.sha256, known=known)


def _manifest(origin: Origin, choice: Choice) -> inputs.Manifest:
    """The inputs of an imported image, whose digest is its identity. Raises UsageError."""
    described = origin.description
    name, arch = choice.name or origin.name, choice.arch or origin.arch
    if not name or not arch:
        raise UsageError(
            f"{origin.source} does not say what it is",
            hint="say it: --name NAME --arch ARCH",
        )
    if choice.arch and origin.arch and choice.arch != origin.arch:
        raise UsageError(
            f"{origin.source} is for {origin.arch}, not for {choice.arch}", hint="change --arch"
        )
    if choice.name:
        description.check_name(name, "--name")
    elif not description.NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an image here", hint="give one: --name NAME")
    return {
        "name": name,
        "arch": arch,
        "kind": (described.kind if described else "") or DEFAULT_KIND,
        "imported": {
            "source": origin.source,
            "sha256": origin.sha256,
            "digest": described.digest if described else "",
            "tree": described.tree if described else "",
            "manifest": dict(described.manifest) if described else {},
        },
        "output": _stored(origin, choice),
    }


def _stored(origin: Origin, choice: Choice) -> str:
    """The format in the store: as asked for, as it was, as it comes."""
    if choice.stored:
        return choice.stored
    if origin.description is not None and origin.description.stored in STORED:
        return origin.description.stored
    return store.SQUASHFS if _is_squashfs(origin.path) else store.DIRECTORY


def _is_squashfs(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


# --- making --------------------------------------------------------------------------------------


def _make(
    job: Path, origin: Origin, manifest: inputs.Manifest, wanted: Wanted, seconds: float
) -> Path:
    """The image's directory, complete and on the disk."""
    finished = job / "image"
    finished.mkdir(mode=0o755)
    facts = _fill(job, finished, origin, manifest["output"], wanted)
    described = origin.description
    if described is not None and facts.digest != described.tree:
        raise VctError(
            f"{origin.source} holds other files than its description says",
            hint="get it again, or export the image again",
        )
    record: dict[str, Any] = {
        "built": described.built if described else _now(),
        "imported": _now(),
        "seconds": round(seconds, 1),
        "size_mib": size_mib(finished),
        "made": facts.digest,  # the same files are the same making
        "packages": list(described.packages) if described else [],
    }
    (finished / "manifest.json").write_text(inputs.render(manifest))
    (finished / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    process.run(["sync", "-f", str(finished)])
    return finished


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _fill(job: Path, finished: Path, origin: Origin, stored: str, wanted: Wanted) -> TreeFacts:
    """Bring the artefact to the format that it has in the store, checked. Returns its facts."""
    described = origin.description
    size_max = described.size if described else wanted.size_max
    entries_max = described.entries if described else ENTRIES_MAX
    _check_room(finished, described.size if described else 0)
    target = finished / store.ARTEFACTS[stored]
    root = target if stored == store.DIRECTORY else job / "root"
    if _is_squashfs(origin.path):
        check_squashfs(origin.path, size_max=size_max, entries_max=entries_max)
        unsquash(origin.path, root)
        check_tree(root, origin.source, size_max=size_max, entries_max=entries_max)
    elif origin.path.is_dir():
        check_tree(origin.path, origin.source, size_max=size_max, entries_max=entries_max)
        root.mkdir()
        process.run(programs.copy_tree(origin.path, root))
    else:
        root.mkdir()
        unpack(origin.path, root, size_max=size_max, devices=True, entries_max=entries_max)
    if stored == store.SQUASHFS and _is_squashfs(origin.path):
        process.run(["cp", "--reflink=auto", "--", str(origin.path), str(target)])
    elif stored == store.SQUASHFS:
        process.run(programs.mksquashfs(root, target, QUICK))
    return tree_facts(root)


def _check_room(place: Path, wanted: int) -> None:
    status = os.statvfs(place)
    free = status.f_bavail * status.f_frsize
    if free < wanted:
        raise VctError(
            f"the image store has {free >> 20} MiB free, the image needs {wanted >> 20} MiB",
            hint="free some room: vct image gc",
        )
