"""An image store made by hand: stored directory images, packed as squashfs files under new names.

So that tests of what is done with images depend on nothing of the builder but the store's layout.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vct.build import store
from vct.drivers import process


def pack(name: str, source: store.Image, images: Path, *, without: str = "") -> store.Image:
    """Put a squashfs file of an image, less one file, into another store under another name."""
    store.prepare(images)
    manifest = json.dumps(source.manifest | {"name": name}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    place = images / "store" / digest
    place.mkdir()
    (place / "manifest.json").write_bytes(manifest)
    record = {"size_mib": 1, "built": source.built, "seconds": 1.0, "packages": []}
    (place / "record.json").write_text(json.dumps(record))
    file = place / "root.squashfs"
    words = ["-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "1"]
    words += ["-e", without] if without else []
    process.run(["mksquashfs", str(source.root), str(file), *words])
    store.point(images, name, source.arch, digest)
    return store.read_image(images, digest)
