"""What a writable layer costs: the time to make one, its real disk space, and a container on it.

A layer is made by the code that nodes and runs of images use. Its floor is what no writable layer
of fixed size can do without: a sparse file and mkfs with the same options. A run of an image is
timed as its user sees it; its floor is the same container started and ended by LXC's commands, on a
layer and a configuration that are there already.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.bed import Bed, new_bed
from benchmarks.figures import Result, Target
from benchmarks.machine import settle
from vct.drivers import guest, process
from vct.drivers.disk_image import MIB, MKFS, make_disk
from vct.drivers.layers import START, start_arguments
from vct.verbs.image_run import DEFAULT_SIZE_MIB, Wanted, running

IMAGE = "node-debian"
MAKE_MS, DISK_MB = 50, 1
MB = 1_000_000
BLOCK = 512  # the unit of st_blocks, whatever the file system's is (stat(2))


def measure(rounds: int) -> list[Result]:
    """The figures of `rounds` layers of DEFAULT_SIZE_MIB, and of as many runs of IMAGE."""
    with tempfile.TemporaryDirectory(prefix="vct-bench-", dir="/var/lib") as directory:
        ours, floor, disk = _layers(Path(directory), rounds)
    with new_bed() as bed:
        runs, bare = _runs(bed, rounds)
    size = f"{DEFAULT_SIZE_MIB} MiB"
    return [
        Result(
            name="layer make",
            what=f"make a writable layer of {size}",
            unit="ms",
            runs=ours,
            floor=floor,
            floor_is="truncate and mkfs.ext4 with the same options",
            target=Target(limit=MAKE_MS),
        ),
        Result(
            name="layer disk",
            what=f"real disk space of an empty layer of {size}",
            unit="MB",
            runs=disk,
            target=Target(limit=DISK_MB),
        ),
        Result(
            name="image run",
            what=f"vct image run {IMAGE} -- true, until nothing of it is left",
            unit="ms",
            runs=runs,
            floor=bare,
            floor_is="lxc-start, lxc-attach, lxc-stop on a layer that is there",
        ),
    ]


def _layers(
    directory: Path, rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    ours, floor, disk = [], [], []
    for number in range(rounds):
        # Of a size of its own: vct remembers what mkfs wrote, and `vct image run` makes only one.
        size_mib = DEFAULT_SIZE_MIB + number
        mine, bare = directory / f"{number}.img", directory / f"{number}.bare"
        ours.append(_ms(partial(make_disk, mine, size_mib)))
        floor.append(_ms(partial(_bare_layer, bare, size_mib)))
        disk.append(mine.stat().st_blocks * BLOCK / MB)
    return tuple(ours), tuple(floor), tuple(disk)


def _bare_layer(file: Path, size_mib: int) -> None:
    with file.open("wb") as stream:
        stream.truncate(size_mib * MIB)
    process.run([*MKFS, str(file)])


def _runs(bed: Bed, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ours, floor = [], []
    for _ in range(rounds):
        settle()
        ours.append(1000 * bed.timed("image", "run", IMAGE, "--", "true"))
        with running(bed.home, Wanted(image=IMAGE, boot=False)) as container:
            guest.stop(container, kill=True)
            guest.discard_remains(container)
            settle()
            floor.append(_ms(partial(_bare_run, container)))
    return tuple(ours), tuple(floor)


def _bare_run(container: guest.Guest) -> None:
    words = start_arguments(container.layers, container.lxc_path, container.name, container.init)
    process.run([*START, *words])
    process.run(guest.attach_command(container.lxc_path, container.name, ["true"]))
    where = [f"--lxcpath={container.lxc_path}", f"--name={container.name}"]
    process.run(["lxc-stop", "--kill", *where])


def _ms(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)
