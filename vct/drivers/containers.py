"""Nodes as LXC containers: configuration files, started by lxc-start, observed by python3-lxc.

python3-lxc reads states and parsed configurations; it neither starts containers nor sets root file
systems (it would put this process into the container's control group, and can lose the root). A
configuration that lost its root file system is never started.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import lxc

from vct import names
from vct.drivers import netns
from vct.drivers.container_config import (
    INIT,
    cgroup_of,
    ending_group,
    parse_config,
    render_config,
    root_in,
    root_of,
    uses_cgroup2,
)
from vct.drivers.disk_image import loop_device, ready_disk
from vct.drivers.files import node_directories
from vct.drivers.process import CommandError, run
from vct.drivers.textfiles import read, write
from vct.drivers.waiting import wait_for
from vct.errors import RefusedError, VctError
from vct.paths import LXC_LOCKS, TestbedPaths
from vct.plan.things import Container

START_SCRIPT = Path(__file__).with_name("start-node.sh")
CGROUPS = Path("/sys/fs/cgroup")
HALT_DEADLINE_S = 10
LIVE_STATES = frozenset({"RUNNING", "FROZEN", "STARTING", "STOPPING", "ABORTING", "FREEZING"})


class ContainerDriver:
    """Starts, stops and observes nodes' containers."""

    kind = Container
    workers = 4

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths
        self._cgroup2 = uses_cgroup2()

    def observe(self) -> list[Container]:
        seen = []
        for node in self._candidates():
            config = self._paths.node(node).config
            state, pid = self.state(node)
            if config.exists() or state in LIVE_STATES:
                seen.append(self._seen(node, state, pid))
        return seen

    def _candidates(self) -> list[str]:
        """Nodes that have a directory, and those whose directory was removed while they ran."""
        group = cgroup_of(self._paths.name, "")
        groups = {path.name for top in hierarchies() for path in (top / group).glob("*/")}
        found = {name for name in groups if names.NODE_ID.fullmatch(name)}
        return sorted(found.union(node_directories(self._paths)))

    def _seen(self, node: str, state: str, pid: int) -> Container:
        text = read(self._paths.node(node).config)
        thing = parse_config(text, node)
        intact = thing.intact and text == self._render(thing)
        return replace(
            thing,
            running=state == "RUNNING",
            intact=intact,
            at_home=state != "RUNNING" or self._at_home(thing, pid),
        )

    def _at_home(self, thing: Container, pid: int) -> bool:
        try:
            inode = Path(f"/proc/{pid}/ns/net").stat().st_ino
        except OSError:  # ended meanwhile
            return False
        return bool(thing.namespace) and inode == netns.namespace_inode(thing.namespace)

    def state(self, node: str) -> tuple[str, int]:
        """LXC's word for a node's state, and its init's pid in our numbering (or -1)."""
        container = lxc.Container(node, str(self._paths.nodes))
        return str(container.state), int(container.init_pid)

    def claim(self, thing: Container) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: Container) -> None:
        if self._disk_in_use(thing.node):  # a start that outlived the vct that asked for it
            self.stop(thing.node, kill=True)
        self._discard_remains(thing.node)
        paths = self._paths.node(thing.node)
        choose_boot(paths.node_config / "inittab", thing.boot)
        write(paths.config, self._render(thing), mode=0o640)
        if thing.running:
            self.start(thing)

    def change(self, was: Container, thing: Container) -> None:
        """Stop the node, write its configuration and start it again."""
        self.stop(thing.node)
        self.create(thing)

    def delete(self, thing: Container) -> None:
        """Stop the node and forget its configuration; its files stay."""
        self.stop(thing.node)
        paths = self._paths.node(thing.node)
        for file in (paths.config, paths.console_log, paths.monitor_log):
            file.unlink(missing_ok=True)
        self._discard_remains(thing.node)
        discard_parents(self._paths)

    # --- start and stop --------------------------------------------------------------------------

    def start(self, thing: Container) -> None:
        """Start from the configuration on disk. Raises RefusedError if that lost its root."""
        node = self._paths.node(thing.node)
        self.verify(thing)
        node.monitor_log.unlink(missing_ok=True)
        ready_disk(node.disk_image)
        command = [
            "unshare",
            "--mount",
            "--propagation=slave",
            "sh",
            str(START_SCRIPT),
            str(node.disk_image),
            str(node.disk),
            str(self._paths.nodes),
            thing.node,
            root_of(thing, self._paths),
            INIT,
        ]
        try:
            run(command, timeout_s=60)
        except CommandError as error:
            words = read(node.monitor_log).strip().splitlines()[-3:]
            raise VctError(
                f"node {thing.node} did not start: {'; '.join(words) or error.message}",
                hint=f"LXC's log: {node.monitor_log}\n{error.hint}",
            ) from error

    def verify(self, thing: Container) -> None:
        """Raise RefusedError unless file and liblxc agree on the root file system of `thing`."""
        config = self._paths.node(thing.node).config
        root = root_of(thing, self._paths)
        text = read(config)
        container = lxc.Container(thing.node, str(self._paths.nodes))
        keys = set(container.get_keys() or ())
        # liblxc gives the path back without its type.
        parsed = container.get_config_item("lxc.rootfs.path") if "lxc.rootfs.path" in keys else ""
        if text != self._render(thing) or f"overlay:{parsed}" != root:
            raise RefusedError(
                f"node {thing.node} was not started: its configuration is not what vct wrote "
                f"(root file system: {root_in(text) or 'none'})",
                hint=f"the file: {config}\nwrite it again: vct init",
            )
        if (
            not (Path(thing.root) / INIT.lstrip("/")).is_symlink()
            and not (Path(thing.root) / INIT.lstrip("/")).exists()
        ):
            raise RefusedError(
                f"node {thing.node} was not started: {thing.root} is not a vct image",
                hint="build it again: vct build",
            )

    def stop(self, node: str, *, kill: bool = False) -> None:
        """Halt a node, or kill it after a deadline; returns when its disk is released."""
        where = [f"--lxcpath={self._paths.nodes}", f"--name={node}"]

        def stopped() -> bool:
            state, _ = self.state(node)
            if state in LIVE_STATES:
                # Later rounds are for a start that was under way and has come alive meanwhile.
                run(["lxc-stop", *where, *how], check=False, timeout_s=HALT_DEADLINE_S + 20)
                how[:] = ["--kill"]
            return state == "STOPPED" and not self._disk_in_use(node)

        halts = not kill and self.state(node)[0] == "RUNNING"
        how = [f"--timeout={HALT_DEADLINE_S}"] if halts else ["--kill"]
        wait_for(
            stopped,
            what=f"node {node} to stop",
            hint=f"see: lxc-info -P {self._paths.nodes} -n {node}",
        )

    def _disk_in_use(self, node: str) -> bool:
        return bool(loop_device(self._paths.node(node).disk_image))

    def _discard_remains(self, node: str) -> None:
        """Remove what a killed monitor leaves: control groups, LXC's lock file."""
        for hierarchy in hierarchies():
            remove_groups(hierarchy / cgroup_of(self._paths.name, node))
        locks_of(self._paths).joinpath(f".{node}").unlink(missing_ok=True)

    def _render(self, thing: Container) -> str:
        if thing.arch not in ("amd64", "i386"):
            return ""
        return render_config(thing, self._paths, cgroup2=self._cgroup2)


def locks_of(paths: TestbedPaths) -> Path:
    """Where LXC keeps a lock file for each container that it was ever asked about."""
    return LXC_LOCKS / str(paths.nodes).lstrip("/")


def discard_parents(paths: TestbedPaths) -> None:
    """Remove the directories around removed nodes that no other node uses."""
    group = Path(cgroup_of(paths.name, ""))
    for hierarchy in hierarchies():
        remove_empty(hierarchy / group, hierarchy)
        with suppress(OSError):  # another node's monitor is ending in it
            remove_groups(hierarchy / ending_group(paths.name))
    remove_empty(locks_of(paths), LXC_LOCKS)


def discard_all_remains(paths: TestbedPaths) -> None:
    """Remove what is left of the containers of a testbed that has none any more: control groups
    of killed monitors, LXC's lock files."""
    for hierarchy in hierarchies():
        with suppress(OSError):  # processes are in it: it is not ours to end them here
            remove_groups(hierarchy / cgroup_of(paths.name, ""))
    for file in locks_of(paths).glob(".*"):
        file.unlink()
    discard_parents(paths)


def attach_command(paths: TestbedPaths, node: str, command: list[str]) -> list[str]:
    """The argv that runs a command inside a running node."""
    return [
        "lxc-attach",
        f"--lxcpath={paths.nodes}",
        f"--name={node}",
        "--clear-env",
        "--set-var=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "--set-var=HOME=/root",
        f"--set-var=TERM={os.environ.get('TERM', 'dumb')}",
        "--",
        *command,
    ]


def choose_boot(link: Path, boot: str) -> None:
    """Point the node's inittab at the image's one for a `fast` or a `full` boot."""
    target = f"/etc/vct/inittab.{boot}"
    if not (link.is_symlink() and str(link.readlink()) == target):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def hierarchies(root: Path = CGROUPS) -> list[Path]:
    """The roots of all control group hierarchies, on v1, v2 and hybrid hosts."""
    if uses_cgroup2(root):
        return [root]
    return [path for path in root.glob("*/") if path.is_dir() and not path.is_symlink()]


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
