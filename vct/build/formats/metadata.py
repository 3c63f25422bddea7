"""What LXC and Incus want to know about an image besides its files: pure texts.

LXC's templates `local` and `download` read a tarball with `config` (lines for the container's
configuration), `config-user` (instead, for unprivileged containers), `excludes-user`, `expiry`,
`create-message`; Incus and LXD read `metadata.yaml`. The formats are those of their own servers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from vct.build.inputs import EPOCH

LXC_ARCHITECTURES = {"amd64": "x86_64", "i386": "i686"}
OUR_INIT = "/etc/vct/init"
OTHER_INIT = "/sbin/init"
DEVICES = (
    *(f"c 1:{minor} rwm" for minor in (3, 5, 7, 8, 9)),
    *(f"c 5:{minor} rwm" for minor in (0, 1, 2)),
    "c 136:* rwm",
    "c 10:200 rwm",
    "c 10:229 rwm",
)
# The template puts LXC's own directory in place of the capital words.
SECCOMP = "LXC_TEMPLATE_CONFIG/common.seccomp"
USERNS = "LXC_TEMPLATE_CONFIG/userns.conf"


def lxc_metadata(
    name: str, arch: str, *, init: str, devices: Iterable[str] = ()
) -> Mapping[str, str]:
    """The files of meta.tar.xz. `init` is the program that the container starts, `devices` are the
    paths (`./dev/null`) that an unprivileged container cannot make."""
    return {
        "config": lxc_config(name, arch, init=init),
        "config-user": lxc_config(name, arch, init=init) + f"lxc.include = {USERNS}\n",
        "create-message": _message(name, arch),
        "excludes-user": "".join(f"{device}\n" for device in devices),
        # In the past: LXC's cached copy is good only as long as the server has no newer one.
        "expiry": f"{EPOCH}\n",
    }


def lxc_config(name: str, arch: str, *, init: str) -> str:
    """Lines for a container's configuration that need nothing of the host's LXC but the seccomp
    profile. Network and root file system are written by lxc-create."""
    lines = [
        f"# image {name} for {arch}, made by vct",
        f"lxc.arch = {LXC_ARCHITECTURES[arch]}",
        f"lxc.init.cmd = {init}",
        "lxc.tty.dir = lxc",
        "lxc.tty.max = 4",
        "lxc.pty.max = 1024",
        # sys_boot stays, so that halt and reboot work from inside
        "lxc.cap.drop = mac_admin mac_override sys_time sys_module sys_rawio",
        f"lxc.seccomp.profile = {SECCOMP}",
        "lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed",
    ]
    for control in ("lxc.cgroup", "lxc.cgroup2"):
        lines += [f"{control}.devices.deny = a"]
        lines += [f"{control}.devices.allow = {kind} *:* m" for kind in "cb"]
        lines += [f"{control}.devices.allow = {device}" for device in DEVICES]
    return "\n".join(lines) + "\n"


def _message(name: str, arch: str) -> str:
    return (
        f"You have made a container from vct's image {name} for {arch}.\n"
        "It has no password: enter it with lxc-attach.\n"
    )


def incus_metadata(name: str, arch: str) -> str:
    """metadata.yaml of an image for Incus or LXD. JSON is YAML, and its order is certain."""
    document = {
        "architecture": LXC_ARCHITECTURES[arch],
        "creation_date": EPOCH,  # not when it was built: the fingerprint is of the contents alone
        "properties": {
            "architecture": arch,
            "description": f"vct {name} {arch}",
            "name": f"vct-{name}-{arch}",
            "os": "vct",
            "release": name,
            "variant": "default",
        },
        "templates": {},
    }
    return json.dumps(document, indent=2) + "\n"
