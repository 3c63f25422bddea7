"""What this host is, and the state root on it: facts read from files, no process is started.

`check_host` and `require` are what `init` calls first (under 30 ms); `vct doctor` adds the probes
of `host_kernel` and `host_network`. `ensure_home` makes the state root and its mark.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vct.drivers import packages
from vct.drivers.base import Support
from vct.errors import HostError, RefusedError
from vct.paths import IMAGES_MARK, Home

MIB = 1024**2
GIB = 1024**3
DISK_WANTED = 3 * GIB
DISK_NEEDED = GIB // 2
MEMORY_WANTED = 512 * MIB
LXC_OLDEST = 4
HOME_MODE = 0o711  # LXC wants to pass through; nobody needs to list
MARK_TEXT = "This directory belongs to vct. `vct purge` removes it with all that is in it.\n"


# --- the state root ------------------------------------------------------------------------------


def ensure_home(home: Home) -> bool:
    """Make the state root with its mark unless it is there; True when it was made.

    Raises RefusedError when the place is taken by something that is not ours, HostError when it
    cannot be made.
    """
    taken = home_obstacle(home)
    if taken:
        raise RefusedError(taken, hint="choose another place: VCT_HOME=DIRECTORY, or empty this")
    if home.mark.is_file():
        return False
    try:
        home.root.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
        home.root.chmod(HOME_MODE)
        home.mark.write_text(MARK_TEXT)
    except OSError as error:
        raise HostError(
            f"cannot make the state root {home.root}: {error.strerror}",
            hint="make its place writable, or choose another: VCT_HOME=DIRECTORY",
        ) from None
    return True


def home_obstacle(home: Home) -> str:
    """Why the state root cannot be ours; empty when it is, or is free to become it.

    An image store of ours may be in it already: `vct build` needs no more than that.
    """
    stores = [home.images] if (home.images / IMAGES_MARK).is_file() else []
    try:
        # Listed before the mark is looked for: vct writes the mark first of all.
        filled = any(path not in stores for path in home.root.iterdir())
    except FileNotFoundError:
        return ""
    except NotADirectoryError:
        return f"{home.root} is not a directory"
    except PermissionError:  # 0711 is how we make it; without root only the mark can be seen
        filled = True
    if filled and not home.mark.is_file():
        return f"{home.root} holds files that are not ours: it has no {home.mark.name} in it"
    return ""


def home_supports(home: Home) -> list[Support]:
    """The state root and the image store: whose they are, how much room, and how mounted."""
    return [_home_finding(home), *_room_findings(home.root), _mount_finding(home)]


def _home_finding(home: Home) -> Support:
    without = "there is no place for images and testbeds"
    taken = home_obstacle(home)
    if taken:
        return Support(
            what="state root",
            found=False,
            detail=taken,
            without=without,
            fix="choose another place: VCT_HOME=DIRECTORY",
        )
    if not home.mark.is_file():
        return Support(
            what="state root",
            found=False,
            detail=f"{home.root} is not there yet",
            without="nothing; vct init makes it too",
            fix="vct install",
            required=False,
        )
    writable = os.geteuid() != 0 or os.access(home.root, os.W_OK)
    return Support(
        what="state root",
        found=writable,
        detail=f"{home.root}, ours" + ("" if writable else ", but read-only"),
        without=without,
        fix="" if writable else "mount its file system writable",
    )


def _room_findings(root: Path) -> list[Support]:
    status = os.statvfs(_existing(root))
    free = status.f_bavail * status.f_frsize
    return [
        Support(
            what="disk space",
            found=free >= DISK_WANTED,
            detail=f"{free / GIB:.1f} GiB free for {root}",
            without="images may not fit: a build takes up to 3 GiB",
            fix=f"free {DISK_WANTED // GIB} GiB, or move the state root: VCT_HOME=DIRECTORY",
            required=free < DISK_NEEDED,
        )
    ]


def _mount_finding(home: Home) -> Support:
    flags = os.statvfs(_existing(home.images)).f_flag
    names = {"noexec": os.ST_NOEXEC, "nodev": os.ST_NODEV, "read-only": os.ST_RDONLY}
    bad = [name for name, flag in names.items() if flags & flag]
    return Support(
        what="mount options",
        found=not bad,
        detail=f"{home.images} is mounted {', '.join(bad)}" if bad else "programs, devices allowed",
        without="images can neither be built nor started",
        fix=f"mount -o remount,exec,dev,rw for the file system of {home.images}, or VCT_IMAGES=DIR",
    )


def _existing(path: Path) -> Path:
    """The path itself or its nearest ancestor that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


# --- control groups ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroups:
    """The mounted control groups: `version` is `v1`, `v2`, `hybrid` or empty."""

    version: str
    controllers: frozenset[str]


def parse_cgroups(mounts: str, controllers_v2: str = "") -> Cgroups:
    """From /proc/mounts and the v2 root's cgroup.controllers.

    v2 has no files for `devices` and `freezer`; both are built in (cgroups(7)).
    """
    versions, found = set(), set(controllers_v2.split())
    for line in mounts.splitlines():
        match line.split():
            case [_, _, "cgroup", options, *_]:
                versions.add("v1")
                found |= set(options.split(","))
            case [_, _, "cgroup2", *_]:
                versions.add("v2")
    if versions == {"v2"}:
        found |= {"devices", "freezer"}
    version = "hybrid" if len(versions) == 2 else "".join(versions)
    return Cgroups(version=version, controllers=frozenset(found))


def observe_cgroups() -> Cgroups:
    """What this process sees mounted."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    controllers = unified.read_text() if unified.is_file() else ""
    return parse_cgroups(Path("/proc/mounts").read_text(), controllers)


def cgroup_findings(seen: Cgroups) -> list[Support]:
    """Control groups at all (required), and each controller that nodes use."""
    fix = "mount them: systemd does, elsewhere install cgroupfs-mount or run mount -t cgroup2"
    findings = [
        Support(
            what="control groups",
            found=bool(seen.version),
            detail=seen.version or "none is mounted",
            without="nodes cannot be started",
            fix=fix,
        )
    ]
    uses = {
        "devices": ("nodes could use every device of this host", True),
        "freezer": ("nodes cannot be frozen", False),
        "memory": ("the memory limits of nodes are not enforced", False),
        "pids": ("a node may use up all process numbers", False),
    }
    if seen.version:
        findings += [
            Support(
                what=f"control group {name}",
                found=name in seen.controllers,
                detail="mounted" if name in seen.controllers else "not available",
                without=without,
                fix=f"boot with cgroup_enable={name}",
                required=required,
            )
            for name, (without, required) in uses.items()
        ]
    return findings


# --- the system ----------------------------------------------------------------------------------


def system_supports() -> list[Support]:
    """Root, distribution, LXC's Python binding and version, control groups, memory."""
    return [
        _root_finding(),
        _family_finding(),
        *lxc_findings(load=True),
        *cgroup_findings(observe_cgroups()),
        _memory_finding(),
    ]


def _root_finding() -> Support:
    return Support(
        what="root",
        found=os.geteuid() == 0,
        detail="yes" if os.geteuid() == 0 else f"user number {os.geteuid()}",
        without="some checks are left out here; commands that change the system ask for sudo",
        fix="sudo vct doctor",
        required=False,
    )


def _family_finding() -> Support:
    file = Path("/etc/os-release")
    release = parse_os_release(file.read_text() if file.is_file() else "")
    name = release.get("PRETTY_NAME", "unknown system")
    debian = "debian" in (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    apt = Path("/usr/bin/apt-get").is_file()
    return Support(
        what="Debian family",
        found=debian and apt,
        detail=name if apt else f"{name}, no apt-get",
        without="packages cannot be installed and images cannot be built",
        fix="use Debian 12 or newer, or Ubuntu 24.04 or newer",
    )


def parse_os_release(text: str) -> dict[str, str]:
    """os-release(5): `ID=debian`, values may be quoted."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def lxc_findings(*, load: bool) -> list[Support]:
    """python3-lxc as this Python sees it; with `load` it is imported and tells LXC's version."""
    installed = Path("/usr/lib/python3/dist-packages/lxc/__init__.py").is_file()
    found, version = importlib.util.find_spec("lxc") is not None, ""
    if found and load:
        try:
            version = str(importlib.import_module("lxc").version)
        except ImportError:
            found = False
    words = "make vct's environment with: /usr/bin/python3 -m venv --system-site-packages"
    findings = [
        Support(
            what="python3-lxc",
            found=found,
            detail="importable" if found else "this Python cannot import lxc",
            without="the state of nodes cannot be read, nor can they be entered",
            fix=words if installed else "apt-get install python3-lxc",
            packages=() if installed else ("python3-lxc",),
        )
    ]
    if version:
        findings.append(_version_finding(version))
    return findings


def _version_finding(version: str) -> Support:
    major = version.split(".", 1)[0]
    return Support(
        what="LXC version",
        found=major.isdigit() and int(major) >= LXC_OLDEST,
        detail=version,
        without="nodes cannot be started on current control groups",
        fix=f"use a release with LXC {LXC_OLDEST} or newer: Debian 12, Ubuntu 24.04",
    )


def _memory_finding() -> Support:
    free = parse_meminfo(Path("/proc/meminfo").read_text())
    return Support(
        what="memory",
        found=free >= MEMORY_WANTED,
        detail=f"{free / GIB:.1f} GiB available",
        without="few nodes will fit",
        fix="close other programs",
        required=False,
    )


def parse_meminfo(text: str) -> int:
    """MemAvailable of /proc/meminfo in bytes (proc(5): the file counts in KiB), 0 without it."""
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


# --- what init needs -----------------------------------------------------------------------------


def check_host(home: Home) -> list[Support]:
    """The quick part of `vct doctor`: files only, no process, under 30 ms."""
    return [
        *packages.supports(),
        *lxc_findings(load=False),
        *cgroup_findings(observe_cgroups()),
        loop_finding(),
        _mount_finding(home),
    ]


def loop_finding() -> Support:
    """Loop devices, which mount disk images."""
    found = Path("/dev/loop-control").is_char_device()
    return Support(
        what="loop devices",
        found=found,
        detail="/dev/loop-control" if found else "there is no /dev/loop-control",
        without="nodes cannot have a writable layer of fixed size",
        fix="modprobe loop",
        modules=() if found else ("loop",),
    )


def require(findings: Iterable[Support]) -> None:
    """Raise HostError naming the first thing that is required and missing, its purpose and fix."""
    missing = [finding for finding in findings if finding.required and not finding.found]
    if not missing:
        return
    first = missing[0]
    more = f" (and {len(missing) - 1} more: vct doctor)" if len(missing) > 1 else ""
    raise HostError(
        f"this host lacks {first.what}: {first.detail}; without it {first.without}",
        hint=f"run: vct install{more}\nor by hand: {first.fix}"
        if _repairable(missing)
        else first.fix,
    )


def _repairable(findings: Sequence[Support]) -> bool:
    return any(finding.packages or finding.modules for finding in findings)
