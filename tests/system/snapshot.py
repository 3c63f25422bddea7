"""What a host looks like, as sets of lines: the difference of before and after is what leaked."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from vct.drivers.process import run

Snapshot = Mapping[str, frozenset[str]]
# Processes of the machine itself and of other tests come and go; these kinds are only ever ours.
OUR_PROCESSES = re.compile(r"lxc-start|lxc monitor|dnsmasq|relay_process")
# Made by liblxc and by mount for themselves when they are first used, and never removed.
NOT_OURS = ("/run/lxc", "/run/lxc/lock", "/run/mount", "/run/mount/utab", "/run/mount/utab.lock")
# Where a machine's own services keep book of what comes and goes, devices and interfaces too.
BOOKS = re.compile(r"/run/(udev|systemd|user|log|NetworkManager)(/|$)")
WATCHED_DIRECTORIES = ("/run", "/etc/vct", "/etc/netns", "/var/lib/misc", "/root/.ssh")


def take(*homes: Path) -> Snapshot:
    """The host now: network, firewall, mounts, loops, control groups, processes, files."""
    return {
        "links": _lines("ip", "-o", "link"),
        "addresses": _lines("ip", "-o", "addr"),
        "routes": _lines("ip", "route") | _lines("ip", "-6", "route"),
        "namespaces": _lines("ip", "netns", "list"),
        "firewall": _lines("nft", "list", "ruleset"),
        "forwarding": frozenset([Path("/proc/sys/net/ipv4/ip_forward").read_text()]),
        "mounts": frozenset(
            line.split(" ", 3)[3] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "loops": _lines("losetup", "-a"),
        "cgroups": frozenset(
            path for path in _files("/sys/fs/cgroup") if "vct" in path.rpartition("/")[2]
        ),
        "processes": frozenset(filter(OUR_PROCESSES.search, _commands())),
        "files": frozenset(_files(*WATCHED_DIRECTORIES, *map(str, homes))),
    }


def leaks(before: Snapshot, *homes: Path, patience_s: float = 10.0) -> dict[str, list[str]]:
    """What is there now and was not before, or the other way round, by kind; empty when whole.

    The kernel takes a moment to remove what was in a namespace: a difference has to last.
    """
    deadline = time.monotonic() + patience_s
    while True:
        now = take(*homes)
        different = {
            kind: sorted(
                [f"+ {line}" for line in now[kind] - before[kind]]
                + [f"- {line}" for line in before[kind] - now[kind]]
            )
            for kind in before
            if now[kind] != before[kind]
        }
        if not different or time.monotonic() > deadline:
            return different
        time.sleep(0.1)


def _lines(*argv: str) -> frozenset[str]:
    # Counters, clocks and lifetimes change by themselves.
    text = re.sub(r"(valid_lft|preferred_lft|expires) \S+", "", run(argv).stdout)
    return frozenset(line.strip() for line in text.splitlines())


def _commands() -> list[str]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(f"{directory.name} {line.replace(chr(0), ' ').strip()}")
    return found


def _files(*directories: str) -> list[str]:
    return [
        os.path.join(top, name)  # noqa: PTH118 - many thousand, and only strings
        for directory in directories
        for top, below, names in os.walk(directory)
        if not BOOKS.match(top)
        for name in below + names
        if os.path.join(top, name) not in NOT_OURS  # noqa: PTH118
    ]
