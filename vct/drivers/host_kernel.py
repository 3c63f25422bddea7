"""What this kernel can do: each feature by its traces in /proc and /sys, else by trying it.

A try happens in a network namespace of its own that ends with the program that tried. Called by
`vct doctor`; `vct.drivers.shaping_support` has the findings about netem and its stand-ins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vct.drivers import process
from vct.drivers.base import Support
from vct.drivers.host import loop_finding

UNCHECKED = "not checked: needs root"
PROBE_TIMEOUT_S = 5.0
OWN_NETWORK = ("unshare", "--net", "--")
NAT_RULES = """table ip vct-doctor {
  chain out { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 masquerade; }
}
"""
PIDS_WANTED = 32768
INOTIFY_WANTED = 128


class Feature(NamedTuple):
    """A kernel feature: the module that has it, a command that works only with it, its input."""

    what: str
    module: str
    probe: Sequence[str]
    input: str
    without: str


FEATURES = (
    Feature(
        "network namespaces",
        "",
        (*OWN_NETWORK, "true"),
        "",
        "testbeds cannot be kept apart",
    ),
    Feature(
        "veth",
        "veth",
        (*OWN_NETWORK, "ip", "-batch", "-"),
        "link add name a type veth peer name b\n",
        "nodes cannot be linked",
    ),
    Feature(
        "bridge",
        "bridge",
        (*OWN_NETWORK, "ip", "-batch", "-"),
        "link add name a type bridge\n",
        "nodes have no local network and no segments",
    ),
    Feature(
        "NAT",
        "",
        (*OWN_NETWORK, "nft", "-f", "-"),
        NAT_RULES,
        "nodes cannot reach the outside",
    ),
)


def supports() -> list[Support]:
    """Features, file systems, devices and limits of the running kernel."""
    return [
        *[_feature_finding(feature) for feature in FEATURES],
        _filesystem_finding("overlay", "nodes cannot have a writable layer", required=True),
        _filesystem_finding("squashfs", "images in squashfs format cannot be used", required=False),
        loop_finding(),
        *limit_findings(),
    ]


def has_module(module: str) -> bool:
    """Whether a module is loaded, built in or loadable; loads nothing."""
    if not module:
        return False
    if Path("/sys/module", module).is_dir():
        return True
    if process.find("modprobe") is None:
        return False
    found = process.run(["modprobe", "--dry-run", "--quiet", module], check=False)
    return found.code == 0


def can_load(module: str) -> bool:
    """Whether `modprobe` would change something: a module on disk that is not in the kernel yet."""
    if process.find("modprobe") is None or Path("/sys/module", module).is_dir():
        return False
    shown = process.run(["modprobe", "--show-depends", module], check=False)
    return shown.code == 0 and "insmod " in shown.stdout


def _feature_finding(feature: Feature) -> Support:
    found, detail = True, "available"
    if not has_module(feature.module):
        found, detail = try_feature(feature.probe, feature.input)
    return Support(
        what=feature.what,
        found=found,
        detail=detail,
        without=feature.without,
        fix=_fix(feature.module, detail),
        required=detail != UNCHECKED,
    )


def try_feature(argv: Sequence[str], text: str) -> tuple[bool, str]:
    """Whether a command works here, and its last words when not. Needs root."""
    if os.geteuid() != 0:
        return False, UNCHECKED
    missing = [name for name in (argv[0], argv[len(OWN_NETWORK)]) if not process.find(name)]
    if missing:
        return False, f"could not be tried without the program {missing[0]}"
    try:
        process.run(argv, input=text, timeout_s=PROBE_TIMEOUT_S)
    except process.CommandError as error:
        words = error.completed.stderr.strip().splitlines() or [error.message]
        return False, words[0]
    return True, "works"


def _filesystem_finding(name: str, without: str, *, required: bool) -> Support:
    loaded = name in parse_filesystems(Path("/proc/filesystems").read_text())
    found = loaded or has_module(name)
    return Support(
        what=f"{name} file system",
        found=found,
        detail="available" if loaded else "loads when used" if found else "not in this kernel",
        without=without,
        fix=_fix(name, ""),
        required=required,
    )


def parse_filesystems(text: str) -> set[str]:
    """/proc/filesystems: the last word of each line."""
    return {line.split()[-1] for line in text.splitlines() if line.strip()}


def _fix(module: str, detail: str) -> str:
    if detail == UNCHECKED:
        return "sudo vct doctor"
    return f"use a kernel that has it (module {module})" if module else "use a kernel that has it"


def limit_findings() -> list[Support]:
    """System-wide limits that many nodes share."""
    findings = [
        _limit_finding("kernel/pid_max", PIDS_WANTED, "few nodes can run at once"),
        _limit_finding(
            "fs/inotify/max_user_instances", INOTIFY_WANTED, "programs in many nodes may fail"
        ),
    ]
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.is_file() and restricted.read_text().strip() == "1":
        findings.append(
            Support(
                what="AppArmor",
                found=True,
                detail="keeps user namespaces from ordinary users; vct starts nodes as root",
                without="",
                required=False,
            )
        )
    return findings


def _limit_finding(name: str, wanted: int, without: str) -> Support:
    file = Path("/proc/sys", name)
    value = int(file.read_text()) if file.is_file() else 0
    setting = name.replace("/", ".")
    return Support(
        what=setting,
        found=value >= wanted,
        detail=str(value),
        without=without,
        fix=f"sysctl {setting}={wanted}",
        required=False,
    )
