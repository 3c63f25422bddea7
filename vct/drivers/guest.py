"""A container of LXC's, be it a node or the run of an image: verified, started, stopped, cleared.

lxc-start starts it from a configuration file, in a mount namespace of its own (vct.drivers.layers);
python3-lxc only reads states and parsed configurations. A configuration that lost its root file
system is never started: LXC would boot the host's init.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import lxc

from vct.drivers.disk_image import loop_device, ready_disk
from vct.drivers.layers import START, Layers, start_arguments
from vct.drivers.lxc_config import INIT, root_in, uses_cgroup2
from vct.drivers.process import CommandError, run
from vct.drivers.textfiles import read
from vct.drivers.waiting import wait_for
from vct.errors import RefusedError, VctError
from vct.paths import LXC_LOCKS

CGROUPS = Path("/sys/fs/cgroup")
HALT_DEADLINE_S = 10
STOP_DEADLINE_S = HALT_DEADLINE_S + 30  # then it is killed, and the kernel lets go of its disk
START_DEADLINE_S = 60
LIVE_STATES = frozenset({"RUNNING", "FROZEN", "STARTING", "STOPPING", "ABORTING", "FREEZING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Where a container's files are and what LXC calls it.

    `called` is what people call it (`node 0001`), `group` its control group below every
    hierarchy's root, `again` how its configuration is written anew.
    """

    called: str
    name: str
    lxc_path: Path
    layers: Layers
    group: str
    again: str
    init: str = INIT

    @property
    def config(self) -> Path:
        """LXC's configuration file: LXC itself decides where."""
        return self.lxc_path / self.name / "config"

    @property
    def monitor_log(self) -> Path:
        return self.lxc_path / self.name / "lxc.log"


def state_of(lxc_path: Path, name: str) -> tuple[str, int]:
    """LXC's word for a container's state, and its init's pid in our numbering (or -1)."""
    container = lxc.Container(name, str(lxc_path))
    return str(container.state), int(container.init_pid)


def start(guest: Guest, text: str) -> None:
    """Start from the configuration on disk, which must say `text`; see `verify`."""
    verify(guest, text)
    guest.monitor_log.unlink(missing_ok=True)
    ready_disk(guest.layers.disk_image)
    words = start_arguments(guest.layers, guest.lxc_path, guest.name, guest.init)
    try:
        run([*START, *words], timeout_s=START_DEADLINE_S)
    except CommandError as error:
        said = read(guest.monitor_log).strip().splitlines()[-3:]
        raise VctError(
            f"{guest.called} did not start: {'; '.join(said) or error.message}",
            hint=f"LXC's log: {guest.monitor_log}\n{error.hint}",
        ) from error


def verify(guest: Guest, text: str) -> None:
    """Raise RefusedError unless file and liblxc agree on the root file system.

    The start script makes sure that there is an init of ours in it, once it is mounted; in an
    image that is a directory that can be seen here already.
    """
    written = read(guest.config)
    container = lxc.Container(guest.name, str(guest.lxc_path))
    try:  # liblxc gives the path back without its type.
        parsed = container.get_config_item("lxc.rootfs.path")
    except KeyError:
        parsed = ""
    if written != text or f"overlay:{parsed}" != guest.layers.root:
        raise RefusedError(
            f"{guest.called} was not started: its configuration is not what vct wrote "
            f"(root file system: {root_in(written) or 'none'})",
            hint=f"the file: {guest.config}\nwrite it again: {guest.again}",
        )
    layers = guest.layers
    if not layers.image.exists():
        raise RefusedError(
            f"{guest.called} was not started: its image {layers.image} is gone",
            hint="build it again: vct build",
        )
    seen = [layers.image, *([layers.below] if layers.below else [])]
    if not layers.packed and not any(_has(layer, guest.init) for layer in seen):
        raise RefusedError(
            f"{guest.called} was not started: {layers.image} is not a vct image",
            hint="build it again: vct build",
        )


def _has(layer: Path, path: str) -> bool:
    """Whether a layer has this file. Links are not followed: they are meant for its inside."""
    return os.path.lexists(layer / path.lstrip("/"))


def stop(guest: Guest, *, kill: bool = False) -> None:
    """Halt a container, or kill it after a deadline; returns when its disk is released."""
    where = [f"--lxcpath={guest.lxc_path}", f"--name={guest.name}"]

    def stopped() -> bool:
        state, pid = state_of(guest.lxc_path, guest.name)
        if state in LIVE_STATES and guest.config.exists():
            # Later rounds are for a start that was under way and has come alive meanwhile.
            run(["lxc-stop", *where, *how], check=False, timeout_s=HALT_DEADLINE_S + 20)
            how[:] = ["--kill"]
        elif pid > 0:
            # lxc-stop cannot stop what has no file. The monitor said just now whose pid it is.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return state == "STOPPED" and not disk_in_use(guest)

    halts = not kill and state_of(guest.lxc_path, guest.name)[0] == "RUNNING"
    how = [f"--timeout={HALT_DEADLINE_S}"] if halts else ["--kill"]
    wait_for(
        stopped,
        what=f"{guest.called} to stop",
        hint=f"see: lxc-info -P {guest.lxc_path} -n {guest.name}",
        timeout_s=STOP_DEADLINE_S,
    )


def disk_in_use(guest: Guest) -> bool:
    """Whether the writable layer is mounted: by a monitor, even one that nobody can talk to."""
    return bool(loop_device(guest.layers.disk_image))


def discard_remains(guest: Guest) -> None:
    """Remove what a killed monitor leaves: control groups, LXC's lock file."""
    for hierarchy in hierarchies():
        remove_groups(hierarchy / guest.group)
    locks_below(guest.lxc_path).joinpath(f".{guest.name}").unlink(missing_ok=True)


def discard_parents(group: str, ending: str, lxc_path: Path) -> None:
    """Remove the directories around removed containers that no other container uses.

    `group` is the control group around theirs, `ending` where monitors end.
    """
    for hierarchy in hierarchies():
        remove_empty(hierarchy / group, hierarchy)
        with suppress(OSError):  # another container's monitor is ending in it
            remove_groups(hierarchy / ending)
    remove_empty(locks_below(lxc_path), LXC_LOCKS)


def attach_command(lxc_path: Path, name: str, command: Sequence[str]) -> list[str]:
    """The argv that runs a command inside a running container."""
    return [
        "lxc-attach",
        f"--lxcpath={lxc_path}",
        f"--name={name}",
        "--clear-env",
        "--set-var=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "--set-var=HOME=/root",
        f"--set-var=TERM={os.environ.get('TERM', 'dumb')}",
        "--",
        *command,
    ]


# --- control groups, lock files ------------------------------------------------------------------


def locks_below(lxc_path: Path) -> Path:
    """Where LXC keeps a lock file for each container of this path that it was ever asked about."""
    return LXC_LOCKS / str(lxc_path).lstrip("/")


def hierarchies(root: Path = CGROUPS) -> list[Path]:
    """Where LXC makes its control groups: in every hierarchy, below the group of process 1."""
    membership = read(Path("/proc/1/cgroup"))
    tops = parse_membership(membership, root, unified=uses_cgroup2(root))
    return [top for top in tops if top.is_dir()]


def parse_membership(membership: str, root: Path, *, unified: bool) -> list[Path]:
    """The groups of a process, from its /proc/PID/cgroup (cgroups(7)), on v1, v2 and hybrid hosts.

    LXC takes a final `init.scope`, which is systemd's own, off.
    """
    found = []
    for line in membership.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top = root if unified else root / "unified"
        elif not unified:
            top = root / controllers.removeprefix("name=")
        else:
            continue
        found.append(top / path.removesuffix("init.scope").strip("/"))
    return found


def remove_groups(group: Path) -> None:
    """Remove a control group and those below it; raises OSError when processes are in one."""
    if group.is_dir():
        for below in sorted(group.rglob("*/"), reverse=True):
            below.rmdir()
        group.rmdir()


def remove_empty(directory: Path, top: Path) -> None:
    """Remove a directory and its parents below `top`, as far as they are empty."""
    while directory != top:
        try:
            directory.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # in use: not empty (files), busy (control groups)
            return
        directory = directory.parent
