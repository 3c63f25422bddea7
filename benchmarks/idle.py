"""What an idle node costs: memory of its control groups, its processes' share, blocks on the disk.

The nodes are left alone for a while after they became ready. A node's memory counts its processes
and its monitor, which is on the host; the first node also pays for pages that all have in common.
The floor of memory is that of the same nodes under a bare loop of lxc-start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bare
from benchmarks.bed import new_bed
from benchmarks.figures import Result, Target
from benchmarks.topologies import ring
from vct.drivers.container_config import cgroup_of
from vct.drivers.guest import hierarchies
from vct.drivers.textfiles import read
from vct.errors import VctError
from vct.paths import TestbedPaths

NODES = 20
REST_S = 5.0
MB = 1_000_000
BLOCK = 512  # the unit of st_blocks, whatever the file system's is (stat(2))
USAGE_FILES = ("memory.usage_in_bytes", "memory.current")  # cgroup v1, v2
MEMORY_MB, DISK_MB = 5, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one node takes, in MB."""

    cgroup: float
    pss: float
    disk: float


def measure(rest_s: float = REST_S) -> list[Result]:
    """The figures of NODES idle nodes, a run per node."""
    with new_bed() as bed:
        testbed = bed.load(ring(bed.name, NODES))
        nodes = [node.id for node in testbed.nodes]
        with bare.prepared(bed, testbed) as containers:
            bare.start(bed, containers)
            bare.wait_ready(testbed)
            time.sleep(rest_s)
            floor = [_costs(bed.paths, node) for node in nodes]
            bare.stop(bed, containers)
        bed.vct("init", str(bed.files / "testbed.yaml"))
        time.sleep(rest_s)
        ours = [_costs(bed.paths, node) for node in nodes]
    return [
        _result("cgroup", "memory in the node's control groups", MEMORY_MB, ours, floor),
        _result("pss", "memory of the node's processes, shares of what is shared", 0, ours, floor),
        _result("disk", "blocks of the node's disk image", DISK_MB, ours, floor),
    ]


def _result(
    figure: str, what: str, limit: float, ours: Sequence[Costs], floor: Sequence[Costs]
) -> Result:
    return Result(
        name=f"idle {figure}",
        what=f"{what}, {NODES} nodes",
        unit="MB",
        runs=tuple(float(getattr(each, figure)) for each in ours),
        floor=tuple(float(getattr(each, figure)) for each in floor),
        floor_is="the same nodes started by a bare loop",
        target=Target(limit=limit) if limit else None,
    )


def _costs(paths: TestbedPaths, node: str) -> Costs:
    groups = [
        group
        for hierarchy in hierarchies()
        for group in (hierarchy / cgroup_of(paths.name, node)).glob("*/")
    ]
    return Costs(
        cgroup=usage(groups) / MB,
        pss=sum(pss(pid) for pid in processes(groups)) / MB,
        disk=paths.node(node).disk_image.stat().st_blocks * BLOCK / MB,
    )


def usage(groups: Iterable[Path]) -> int:
    """Bytes that these control groups are charged with. Raises VctError if none counts memory."""
    found = [read(group / name).strip() for group in groups for name in USAGE_FILES]
    counted = [int(text) for text in found if text]
    if not counted:
        raise VctError("no control group of the nodes counts memory", hint="see: vct doctor")
    return sum(counted)


def processes(groups: Iterable[Path]) -> set[int]:
    """The processes in these control groups and those below."""
    files = [file for group in groups for file in group.rglob("cgroup.procs")]
    return {int(pid) for file in files for pid in read(file).split()}


def pss(pid: int) -> int:
    """A process' proportional share of memory in bytes; 0 when it has ended."""
    return parse_pss(read(Path("/proc") / str(pid) / "smaps_rollup"))


def parse_pss(rollup: str) -> int:
    """The `Pss:` line of smaps_rollup (proc(5)), in bytes."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
