"""LXC configuration that every container of ours has, as lines of text. Pure.

Self-contained: nothing of the host's LXC defaults is included. What makes a node of it is in
vct.drivers.container_config, what makes a run of an image in vct.drivers.run_config.
"""

from __future__ import annotations

from pathlib import Path

INIT = "/etc/vct/init"  # exists in our images and layers only: without it LXC starts nothing
ARCHITECTURES = {"amd64": "x86_64", "i386": "i686"}
SECCOMP_PROFILE = "/usr/share/lxc/config/common.seccomp"

# A container may make every device node but use only these: memory devices, terminals, fuse, tun.
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
SYSTEM = (
    f"lxc.cap.drop = {DROPPED_CAPABILITIES}",
    f"lxc.seccomp.profile = {SECCOMP_PROFILE}",
    "lxc.apparmor.profile = unconfined",
    "lxc.mount.auto = cgroup:rw:force proc:mixed sys:mixed",
    "lxc.mount.entry = proc dev/.lxc/proc proc create=dir,optional 0 0",
    "lxc.mount.entry = sys dev/.lxc/sys sysfs create=dir,optional 0 0",
    "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,optional,create=file 0 0",
)


def root_lines(root: str, init: str) -> list[str]:
    """Where it starts from: `root` is Layers.root, `init` a path that only our layers have."""
    return [f"lxc.rootfs.path = {root}", f"lxc.init.cmd = {init}"]


def log_lines(console_log: Path, monitor_log: Path) -> list[str]:
    """Terminals, and what is kept of them and of LXC's words."""
    return [
        "lxc.tty.dir = lxc",
        "lxc.tty.max = 4",
        "lxc.pty.max = 1024",
        f"lxc.console.logfile = {console_log}",
        "lxc.console.size = auto",
        f"lxc.log.file = {monitor_log}",
        "lxc.log.level = WARN",
    ]


def group_lines(group: str, ending: str, *, cgroup2: bool, memory_mib: int = 0) -> list[str]:
    """Control groups below `group`, `ending` for monitors that end, and what they allow.

    `cgroup2`: the host has the unified hierarchy only. `memory_mib` 0 is no limit.
    """
    controls = "lxc.cgroup2" if cgroup2 else "lxc.cgroup"
    limit = "memory.max" if cgroup2 else "memory.limit_in_bytes"
    return [
        f"lxc.cgroup.dir.monitor = {group}/monitor",
        f"lxc.cgroup.dir.monitor.pivot = {ending}",
        f"lxc.cgroup.dir.container = {group}/node",
        *([f"{controls}.{limit} = {memory_mib * 1024 * 1024}"] if memory_mib else []),
        f"{controls}.devices.deny = a",
        *(f"{controls}.devices.allow = {device}" for device in DEVICES),
    ]


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
