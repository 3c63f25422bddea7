"""Named network namespaces: made already marked, entered by a thread, found by their mark.

The mark is the alias of the namespace's loopback interface: it says which installation and testbed
the namespace belongs to, `ip -n NAME link show lo` shows it, and a namespace of the same name that
somebody else made has none. A namespace gets its name only after it got its mark, so a crash in
between leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from vct.drivers.base import Problems
from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_messages import set_link
from vct.errors import HostError, RefusedError, VctError
from vct.paths import NAMESPACES

CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 0x1000, 0x4000, 0x100000, 2  # sys/mount.h
LOOPBACK = 1  # the loopback interface has this index in every namespace
_libc = ctypes.CDLL(None, use_errno=True)


def namespace_path(name: str) -> Path:
    """The file that names a namespace; `ip netns` uses the same."""
    return NAMESPACES / name


def inside_command(name: str, command: list[str]) -> list[str]:
    """The argv that runs a program of the host inside a namespace."""
    return ["nsenter", f"--net={namespace_path(name)}", "--", *command]


def namespace_names() -> list[str]:
    """All named namespaces of the host, ours or not."""
    try:
        return sorted(path.name for path in NAMESPACES.iterdir())
    except FileNotFoundError:
        return []


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Run the block's thread inside a namespace; programs that it starts are inside too."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = -1
    try:
        there = os.open(namespace_path(name), os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc.setns(there, CLONE_NEWNET), f"cannot enter namespace {name}")
        yield
    finally:
        # Whatever came in between, a Ctrl-C too: the thread must not stay inside.
        left = _libc.setns(here, CLONE_NEWNET)
        os.close(here)
        if there >= 0:
            os.close(there)
        _check(left, "cannot leave a namespace")


def make_namespaces(
    namespaces: Sequence[str], mark: str, prepare: Callable[[], None] | None = None
) -> Problems:
    """Make empty network namespaces: loopback up, marked, and `prepare` called inside.

    Returns what went wrong, by name; a name that is taken is a RefusedError. The directory of
    namespaces must be shared already: share_directory.
    """

    def work() -> Problems:
        problems: Problems = {}
        for name in namespaces:
            try:
                _make_here(name, mark, prepare)
            except (OSError, VctError) as error:
                problems[name] = error
        return problems

    # The thread ends inside the last of them, so it must be one that nothing else uses.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def make_namespace(name: str, mark: str, prepare: Callable[[], None] | None = None) -> None:
    """Make one; raises what went wrong."""
    for error in make_namespaces([name], mark, prepare).values():
        raise error


def _make_here(name: str, mark: str, prepare: Callable[[], None] | None) -> None:
    """Take the thread into a new namespace, which gets its name last."""
    path = namespace_path(name)
    _check(_libc.unshare(CLONE_NEWNET), "cannot make a network namespace")
    with Netlink() as netlink:
        netlink.do(set_link("lo", alias=mark, up=True))
    if prepare is not None:
        prepare()
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise RefusedError(
            f"a network namespace {name} exists and is not ours",
            hint=f"look at it: ip netns pids {name}; choose another testbed name, or remove it",
        ) from None
    _mount("/proc/thread-self/ns/net", path, MS_BIND)


def delete_namespace(name: str) -> None:
    """Take away a namespace's name; the kernel removes what is in it once no process uses it."""
    path = namespace_path(name)
    _libc.umount2(os.fsencode(path), MNT_DETACH)
    path.unlink(missing_ok=True)


def is_half_made(name: str) -> bool:
    """Whether this name is an empty file and not a namespace, as a crash in make_namespace
    leaves it."""
    path = namespace_path(name)
    return path.is_file() and path.stat().st_dev == NAMESPACES.stat().st_dev


def namespace_inode(name: str) -> int:
    """What identifies the namespace behind a name; 0 if there is none."""
    try:
        return namespace_path(name).stat().st_ino
    except FileNotFoundError:
        return 0


def inode_of(pid: int) -> int:
    """What identifies the network namespace of a process; 0 if it has ended."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def share_directory() -> None:
    """Make /run/netns a shared mount, as `ip netns add` does, unless it is a mount.

    A namespace that is removed must go from every mount namespace that copied the directory's
    mounts, or it would live on there.
    """
    if directory_mounted():
        return
    NAMESPACES.mkdir(mode=0o755, parents=True, exist_ok=True)
    _mount(str(NAMESPACES), NAMESPACES, MS_BIND | MS_REC)
    _mount("none", NAMESPACES, MS_SHARED | MS_REC)


def unshare_directory(*, remove: bool) -> None:
    """Take back share_directory; no namespace may be left. `remove`: the directory goes too."""
    if directory_mounted():
        # Detached: the kernel may still be removing the last namespace's file.
        _check(_libc.umount2(os.fsencode(NAMESPACES), MNT_DETACH), f"cannot unmount {NAMESPACES}")
    if remove:
        NAMESPACES.rmdir()


def directory_mounted() -> bool:
    """Whether the directory of namespaces is a mount of its own."""
    # os.path.ismount does not see a directory that is bound onto itself.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(NAMESPACES) for line in lines)


def _mount(source: str, target: Path, flags: int) -> None:
    done = _libc.mount(source.encode(), os.fsencode(target), b"none", flags, None)
    _check(done, f"cannot mount {source} at {target}")


def _check(result: int, what: str) -> None:
    if result < 0:
        error = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        raise HostError(f"{what}: {error.strerror}", hint="run: vct doctor")
