"""What came out of a build beside the files: `record.json`, and the bill of a layer, `bill.json`.

A bill says which packages are installed after a layer, with the digests of their .deb files, and
what the mirror was like: which sources were used, and which were left out. An image's record has
the last bill of its layers, or its parent's. Read by lock files and bills of materials.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vct.build import bill, store
from vct.build.bill import Package
from vct.build.mirror import MAX_AGE_S, Snapshot

BILL = "bill.json"


def mirror_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What a record says of the mirror."""
    return {
        "taken": snapshot.taken,
        "sources": [asdict(one) for one in snapshot.releases],
        "left_out": [asdict(one) for one in snapshot.left_out],
    }


def read(image: store.Image) -> dict[str, Any]:
    """An image's record."""
    found: dict[str, Any] = json.loads((image.path.parent / "record.json").read_bytes())
    return found


def packages_of(image: store.Image) -> list[Package]:
    """The packages of an image. Of an imported one only names and versions are known."""
    told = read(image).get("installed")
    if told is not None:
        return bill.parse(told)
    pairs = (text.partition("=") for text in image.packages)
    return [
        Package(
            name=name,
            version=version,
            arch=image.arch,
            source=name,
            source_version=version,
            size_kib=0,
        )
        for name, _, version in pairs
    ]


def left_out(image: store.Image) -> tuple[str, ...]:
    """The suites that the mirror could not serve when the image was built."""
    mirror = read(image).get("mirror") or {}
    return tuple(one["suite"] for one in mirror.get("left_out", []))


def stale(image: store.Image, *, refresh: bool = False) -> str:
    """Why the mirror should be looked at again for this image, or "".

    That is when something was left out, a day ago or more (or now, with `refresh`).
    """
    suites = left_out(image)
    if not suites:
        return ""
    taken = float(read(image)["mirror"]["taken"])
    if not refresh and 0 <= time.time() - taken < MAX_AGE_S:
        return ""
    day = time.strftime("%Y-%m-%d", time.gmtime(taken))
    return f"{', '.join(suites)} could not be had from the mirror on {day}"


def looked_again(image: store.Image, snapshot: Snapshot) -> bool:
    """Whether the mirror still serves no more than for this image; then its record says so."""
    record = read(image)
    before = {one["source"] for one in record["mirror"]["left_out"]}
    if before != {one.source for one in snapshot.left_out}:
        return False
    record["mirror"]["taken"] = snapshot.taken
    file = image.path.parent / "record.json"
    new = file.with_name(f"record.{os.getpid()}.new")
    new.write_text(json.dumps(record, indent=1) + "\n")
    new.rename(file)
    return True


# --- layers --------------------------------------------------------------------------------------


def write_bill(layer: Path, packages: list[Package], snapshot: Snapshot) -> None:
    """Beside a layer's files."""
    told = {"packages": bill.render(packages), "mirror": mirror_facts(snapshot)}
    (layer / BILL).write_text(json.dumps(told) + "\n")


def read_bill(layer: Path) -> Mapping[str, Any] | None:
    """The bill of a layer in the cache; None where packages were not its work."""
    try:
        found: dict[str, Any] = json.loads((layer / BILL).read_bytes())
        return found
    except (FileNotFoundError, ValueError):
        return None
