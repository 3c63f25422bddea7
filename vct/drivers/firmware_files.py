"""A node's firmware as files, and the node's notice of it: vct.paths.Confine says where they are.

The node sees the files at once, read-only. Its init is pointed at the image's inittab with the
agent, and told to read it; services that run already are ended, and init starts them again. What
the files say is the business of vct.verbs.enrolment, which calls this.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from vct.drivers import guest
from vct.drivers.container_config import cgroup_of
from vct.drivers.textfiles import read, write
from vct.paths import Confine, NodePaths, TestbedPaths

INITTAB = "etc/vct/inittab"  # in images: .fast, .full, and of nodes .fast.agent, .full.agent
AGENT = ".agent"
MESH = "tinc/"
SCRIPTS = ("tinc/tinc-up", "tinc/tinc-down")
# What the node's init keeps running: images/node-debian/etc/vct/*-service. Without a mesh, the
# first of them waits for one.
TINC = re.compile(r"^tincd -D |/etc/vct/tinc-service$")
AGENT_PROGRAM = re.compile(r"^python3 -I -S /usr/share/vct/agent\.py")


def install(files: Confine, texts: Mapping[str, str]) -> frozenset[str]:
    """Write what differs, by name below the directory, the configuration last; remove hosts of the
    mesh that are not named. Returns the names of what changed."""
    config = str(files.config.relative_to(files.root))
    ordered = sorted(texts, key=lambda name: (name == config, name))
    changed = {name for name in ordered if _differs(files.root / name, texts[name])}
    kept = {files.root / name for name in texts}
    hosts = files.tinc / "hosts"
    extra = [path for path in hosts.glob("*") if path not in kept] if hosts.is_dir() else []
    for name in ordered:
        if name in changed:
            target = files.root / name
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write(target, texts[name], mode=0o755 if name in SCRIPTS else 0o644)
    for path in extra:
        path.unlink()
    return frozenset(changed | {str(path.relative_to(files.root)) for path in extra})


def _differs(file: Path, text: str) -> bool:
    return not file.exists() or read(file) != text


def leave_mesh(files: Confine) -> bool:
    """Forget the mesh, keys included; whether there was one."""
    there = files.tinc.is_dir()
    if there:
        shutil.rmtree(files.tinc)
    return there


# --- the node's boot -----------------------------------------------------------------------------


def has_agent(root: Path, boot: str) -> bool:
    """Whether an image has an agent. A packed one is not looked into: those of nodes have."""
    return not root.is_dir() or os.path.lexists(root / f"{INITTAB}.{boot}{AGENT}")


def choose_boot(node: NodePaths, boot: str, root: Path) -> bool:
    """Point the node's inittab at the image's one for a `fast` or a `full` boot, with the agent if
    the node has its firmware. Returns whether that changed."""
    agent = AGENT if node.confine.config.exists() and has_agent(root, boot) else ""
    link, target = node.node_config / "inittab", f"/{INITTAB}.{boot}{agent}"
    if link.is_symlink() and str(link.readlink()) == target:
        return False
    new = link.with_name(".inittab.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)
    return True


def discharge(paths: TestbedPaths, node: str, boot: str) -> None:
    """Take a node's firmware away, keys included. Its init ends what worked by it, if it runs."""
    files = paths.node(node)
    shutil.rmtree(files.confine.root)
    choose_boot(files, boot, files.root)
    reread_inittab(paths, node)


def reread_inittab(paths: TestbedPaths, node: str) -> bool:
    """Have a running node's init read its inittab again (init(8)); False when it does not run."""
    _, pid = guest.state_of(paths.nodes, node)
    group = cgroup_of(paths.name, node)
    return pid > 0 and _signal(
        pid, signal.SIGHUP, lambda: _is_in(read(Path(f"/proc/{pid}/cgroup")), group)
    )


def restart_services(paths: TestbedPaths, node: str, changed: frozenset[str]) -> list[str]:
    """End in a running node what works by the files that changed, for init to start it again.
    Returns what was ended: commands."""
    mesh = {name for name in changed if f"{name}/".startswith(MESH)}
    services = [TINC] * bool(mesh) + [AGENT_PROGRAM] * bool(changed - mesh)
    _, init = guest.state_of(paths.nodes, node)
    ended = []
    for pid in _children(init) if init > 0 else ():
        command = _command(pid)
        meant = any(service.search(command) for service in services)
        if meant and _signal(pid, signal.SIGTERM, partial(_is_child, pid, init)):
            ended.append(command)
    return ended


def _signal(pid: int, number: signal.Signals, is_meant: Callable[[], bool]) -> bool:
    """Send a signal to what is meant, and to nothing that has its number later."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if is_meant():
                signal.pidfd_send_signal(descriptor, number)
                return True
        finally:
            os.close(descriptor)
    return False


def _is_in(membership: str, group: str) -> bool:
    """Whether a process with this /proc/PID/cgroup is in a container's group."""
    groups = [line.split(":", 2)[-1] for line in membership.splitlines()]
    return any(f"/{group}/" in f"{one}/" for one in groups)


def _children(parent: int) -> list[int]:
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if _is_child(pid, parent)]


def _is_child(pid: int, parent: int) -> bool:
    """The fourth field of /proc/PID/stat (proc(5)); the second may hold blanks."""
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[1:2] == [str(parent)]


def _command(pid: int) -> str:
    return read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").strip()
