"""A stopped node's file system, mounted on the host for a look inside or a change from outside.

Under the testbed's run-time directory: its disk image by a loop device, the image too if that is a
file, and the overlay of image and the current system's writable layer as the node sees it.
"""

from __future__ import annotations

from pathlib import Path

from vct.drivers.layers import Layers, persist_on, upper_on
from vct.drivers.node_systems import load_systems
from vct.drivers.process import CommandError, run
from vct.drivers.textfiles import read
from vct.errors import RefusedError
from vct.paths import TestbedPaths
from vct.plan.things import OfflineMount


class OfflineMountDriver:
    """Mounts and unmounts stopped nodes."""

    kind = OfflineMount
    workers = 1

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths

    def observe(self) -> list[OfflineMount]:
        mounted = mounts_below(read(Path("/proc/self/mountinfo")), self._paths.mounts)
        nodes = {Path(place).relative_to(self._paths.mounts).parts[0] for place in mounted}
        return [OfflineMount(node=node, root=str(self.place(node))) for node in sorted(nodes)]

    def place(self, node: str) -> Path:
        """Where a node's file system is mounted."""
        return self._paths.mounts / node / "root"

    def claim(self, thing: OfflineMount) -> None:
        pass  # inside the testbed's run-time directory

    def create(self, thing: OfflineMount) -> None:
        node = self._paths.node(thing.node)
        place, disk = self.place(thing.node), self._paths.mounts / thing.node / "disk"
        for directory in (place, disk):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        layers = Layers(image=Path(thing.root), place=disk.parent)
        if layers.packed:
            layers.lower.mkdir(mode=0o700, exist_ok=True)
            run(["mount", "-t", "squashfs", "-o", "loop,ro", thing.root, str(layers.lower)])
        run(["mount", "-o", "loop,noatime", str(node.disk_image), str(disk)])
        upper = upper_on(disk, load_systems(node).current)
        if not upper.is_dir() and upper_on(disk, 0).is_dir():
            upper = upper_on(disk, 0)  # an older vct's; the next start takes it over
        for directory in (upper, upper.with_name("work")):
            directory.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={layers.lower},upperdir={upper},workdir={upper.with_name('work')}"
        run(["mount", "-t", "overlay", "-o", options, f"vct-{thing.node}", str(place)])
        if persist_on(disk).is_dir():
            (place / "persist").mkdir(exist_ok=True)
            run(["mount", "--bind", str(persist_on(disk)), str(place / "persist")])

    def change(self, was: OfflineMount, thing: OfflineMount) -> None:
        raise AssertionError("a mount is made and unmade, not changed")

    def delete(self, thing: OfflineMount) -> None:
        below = mounts_below(read(Path("/proc/self/mountinfo")), self._paths.mounts / thing.node)
        for place in sorted(below, reverse=True):
            try:
                run(["umount", place])
            except CommandError as error:
                raise RefusedError(
                    f"the mount of node {thing.node} is in use: {error.message}",
                    hint=f"leave {self.place(thing.node)} (see: fuser -vm {place}), then try again",
                ) from None
        for name in ("root", "lower", "disk"):
            directory = self._paths.mounts / thing.node / name
            if directory.exists():
                directory.rmdir()


def mounts_below(mountinfo: str, directory: Path) -> list[str]:
    """Mount points below a directory, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    below = f"{directory}/"
    places = [line.split(" ", 5)[4] for line in mountinfo.splitlines()]
    return [place for place in places if place.startswith(below)]
