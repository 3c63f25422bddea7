"""Who uses an image: mounts in any process' view, loop devices, and containers that are configured.

Containers' mounts are in namespaces of their own and may belong to another state root, so the
host's mount table and our own records are not enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vct.drivers.disk_image import loop_devices
from vct.errors import RefusedError

PROC = Path("/proc")
# Of an image: in mount options below the store's directory, in records as it is.
DIGEST = re.compile(r"\b([0-9a-f]{64})\b")
# Where containers are recorded below a state root, and how these containers are called.
CONFIGURATIONS = (
    ("testbeds/*/nodes/*/config", "{parts[1]}/{parts[3]}"),
    ("testbeds/*/nodes/*/systems.json", "{parts[1]}/{parts[3]}"),  # what it can go back to
    ("testbeds/*/controller/config", "{parts[1]}/controller"),
    ("runs/*/run.json", "run {parts[1]}"),
)


def mounted_by(path: Path, proc: Path = PROC) -> list[str]:
    """Who has something from below `path` mounted: a process of each mount namespace, and loop
    devices, which is how a squashfs is mounted."""
    found = [who for who, text in _mount_tables(proc) if str(path) in text]
    return found + loop_devices(path.parent if path.is_file() else path)


def mounted_digests(images: Path, proc: Path = PROC) -> dict[str, str]:
    """The images that are mounted anywhere on this host, each with one who has it.

    A store may be known by several paths, so those of any store count.
    """
    found: dict[str, str] = {}
    for who, text in _mount_tables(proc):
        for digest in DIGEST.findall(text):
            found.setdefault(digest, who)
    for place in (images / "store").glob("*"):
        for device in loop_devices(place):
            found.setdefault(place.name, device)
    return found


def _mount_tables(proc: Path) -> Iterator[tuple[str, str]]:
    """The mount table of each mount namespace, with one process that sees it."""
    seen: set[int] = set()
    for entry in sorted(proc.iterdir()):
        if not entry.name.isdigit():
            continue
        try:
            namespace = (entry / "ns" / "mnt").stat().st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            yield f"process {entry.name}", (entry / "mountinfo").read_text(errors="replace")
        except OSError:  # it has just ended, or is not ours to see
            continue


def check_unused(images: Path, digest: str) -> None:
    """Raises RefusedError when something is mounted from this image."""
    users = mounted_by(images / "store" / digest)
    if users:
        raise RefusedError(
            f"image {digest[:12]} is in use by running containers ({users[0]})",
            hint="stop them first: vct cleanup",
        )


# --- configured containers -----------------------------------------------------------------------


def used_by(home: Path, digest: str) -> list[str]:
    """`testbed/node` or `run name` of the containers of a state root that name this image."""
    return configured(home).get(digest, [])


def configured(home: Path) -> dict[str, list[str]]:
    """The digests that containers' LXC configurations name, running or not, and by whom."""
    found: dict[str, list[str]] = {}
    for place, words in CONFIGURATIONS:
        for config in sorted(home.glob(place)):
            try:
                digests = set(DIGEST.findall(config.read_text(errors="replace")))
            except (FileNotFoundError, PermissionError):
                continue
            for digest in digests:
                who = words.format(parts=config.relative_to(home).parts)
                if who not in found.setdefault(digest, []):
                    found[digest].append(who)
    return found
