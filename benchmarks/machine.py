"""What kind of machine the figures are of: numbers and versions, no names and no places."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from vct.drivers import process
from vct.drivers.host import observe_cgroups, parse_os_release
from vct.drivers.textfiles import read

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
QUIET_LOAD = 0.5
SAMPLE_S, IDLE_SHARE = 0.3, 0.1


def facts() -> dict[str, Any]:
    """Cores, memory, kernel, control groups, LXC, distribution, Python."""
    release = parse_os_release(read(Path("/etc/os-release")))
    return {
        "cores": os.cpu_count(),
        "memory_mib": parse_memory_mib(read(Path("/proc/meminfo"))),
        "kernel": kernel_version(platform.release()),
        "cgroups": observe_cgroups().version,
        "lxc": process.run(["lxc-start", "--version"]).stdout.strip(),
        "system": release.get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
    }


def parse_memory_mib(meminfo: str) -> int:
    """MemTotal of /proc/meminfo."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def kernel_version(release: str) -> str:
    """`6.18.44-distributor-2` to `6.18.44`: the rest may name a machine."""
    return release.partition("-")[0]


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def busy_s() -> float:
    """CPU seconds that all cores together have been busy since the machine started."""
    return parse_busy_ticks(read(Path("/proc/stat"))) / TICKS_PER_S


def parse_busy_ticks(stat: str) -> int:
    """user, nice, system, irq and softirq of the first line of /proc/stat (proc(5))."""
    fields = [int(field) for field in stat.splitlines()[0].split()[1:]]
    return sum(fields[:3]) + sum(fields[5:7])


def settle(limit_s: float = 20.0) -> None:
    """Wait until the machine idles, or for `limit_s`: the kernel removes namespaces, mounts and
    control groups after the command that let them go."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        before = busy_s()
        time.sleep(SAMPLE_S)
        if busy_s() - before <= IDLE_SHARE * SAMPLE_S:
            return
