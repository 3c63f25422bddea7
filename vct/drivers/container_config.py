"""LXC configuration of a node, as text: rendered from a Container, and read back into one.

Pure. The file is self-contained (it includes nothing of the host's LXC defaults) and opens with the
thing it was rendered from, so that reading it back needs no second source; a file that is not to
the letter what would be written for that thing is not intact, and is never started from.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from vct import names
from vct.paths import NAMESPACES, TestbedPaths
from vct.plan.things import Container

HEADER = "# vct node: "
INIT = "/etc/vct/init"  # exists in our images only: without it LXC starts nothing
ARCHITECTURES = {"amd64": "x86_64", "i386": "i686"}
SECCOMP_PROFILE = "/usr/share/lxc/config/common.seccomp"

# A node may make every device node but use only these: memory devices, terminals, fuse, tun.
DEVICES = (
    "c *:* m",
    "b *:* m",
    *(f"c 1:{minor} rwm" for minor in (3, 5, 7, 8, 9)),
    *(f"c 5:{minor} rwm" for minor in (0, 1, 2)),
    "c 136:* rwm",
    "c 10:229 rwm",
    "c 10:200 rwm",
)
# sys_boot stays, so that halt and reboot work from inside.
DROPPED_CAPABILITIES = "mac_admin mac_override sys_time sys_module sys_rawio"


def root_of(thing: Container, paths: TestbedPaths) -> str:
    """LXC's root file system: the image below, the writable layer on the node's disk above."""
    return f"overlay:{thing.root}:{paths.node(thing.node).disk}/delta"


def cgroup_of(testbed: str, node: str) -> str:
    """The node's control group, below every hierarchy's root. The monitor has its own."""
    return f"vct/{testbed}/{node}"


def ending_group(testbed: str) -> str:
    """Where monitors go to end; LXC wants it apart from the groups that it then removes."""
    return f"{names.fabric_namespace(testbed)}.ending"


def render_config(thing: Container, paths: TestbedPaths, *, cgroup2: bool) -> str:
    """The configuration file of a node. `cgroup2`: the host has the unified hierarchy only."""
    node = paths.node(thing.node)
    group = cgroup_of(paths.name, thing.node)
    controls = "lxc.cgroup2" if cgroup2 else "lxc.cgroup"
    limit = "memory.max" if cgroup2 else "memory.limit_in_bytes"
    identity = asdict(replace(thing, running=True, intact=True, at_home=True))
    lines = [
        f"{HEADER}{json.dumps(identity)}",
        f"lxc.uts.name = {thing.hostname}",
        f"lxc.arch = {ARCHITECTURES[thing.arch]}",
        f"lxc.rootfs.path = {root_of(thing, paths)}",
        f"lxc.init.cmd = {INIT}",
        f"lxc.namespace.share.net = {NAMESPACES / thing.namespace}",
        "lxc.tty.dir = lxc",
        "lxc.tty.max = 4",
        "lxc.pty.max = 1024",
        f"lxc.console.logfile = {node.console_log}",
        "lxc.console.size = auto",
        f"lxc.log.file = {node.monitor_log}",
        "lxc.log.level = WARN",
        f"lxc.cap.drop = {DROPPED_CAPABILITIES}",
        f"lxc.seccomp.profile = {SECCOMP_PROFILE}",
        "lxc.apparmor.profile = unconfined",
        "lxc.mount.auto = cgroup:rw:force proc:mixed sys:mixed",
        "lxc.mount.entry = proc dev/.lxc/proc proc create=dir,optional 0 0",
        "lxc.mount.entry = sys dev/.lxc/sys sysfs create=dir,optional 0 0",
        "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,optional,create=file 0 0",
        f"lxc.mount.entry = {node.node_config} etc/vct/node none bind,ro,create=dir 0 0",
        f"lxc.cgroup.dir.monitor = {group}/monitor",
        f"lxc.cgroup.dir.monitor.pivot = {ending_group(paths.name)}",
        f"lxc.cgroup.dir.container = {group}/node",
        f"{controls}.{limit} = {thing.memory_mib * 1024 * 1024}",
        f"{controls}.devices.deny = a",
        *(f"{controls}.devices.allow = {device}" for device in DEVICES),
    ]
    return "\n".join(lines) + "\n"


def parse_config(text: str, node: str) -> Container:
    """The thing that a file was rendered from; one that matches nothing when it does not say."""
    first, _, _ = text.partition("\n")
    try:
        return Container(**json.loads(first.removeprefix(HEADER)))
    except (ValueError, TypeError):
        return Container(
            node=node,
            namespace="",
            hostname="",
            image="",
            root="",
            arch="",
            memory_mib=0,
            intact=False,
        )


def root_in(text: str) -> str:
    """The value of the last `lxc.rootfs.path` line, empty if there is none."""
    found = ""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "lxc.rootfs.path":
            found = value.strip()
    return found


def uses_cgroup2(root: Path = Path("/sys/fs/cgroup")) -> bool:
    """Whether the host has the unified control group hierarchy only."""
    return (root / "cgroup.controllers").exists()
