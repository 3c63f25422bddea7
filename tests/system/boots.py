"""An image as a container, straight from what the store keeps: for tests of images, not of vct.

The image is below, a tmpfs above, in a mount namespace that ends with the container; the network is
a loopback. With `shifted`, a copy of the root is booted in a user namespace.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lxc

from vct.drivers import process
from vct.drivers.guest import locks_below, remove_empty
from vct.paths import LXC_LOCKS

INIT = "/etc/vct/init"  # exists in our images only: without it LXC starts nothing
ARCHITECTURES = {"amd64": "x86_64", "i386": "i686"}
BASE, COUNT = 1_000_000, 65_536  # the ids of a shifted container
DEADLINE_S = 120
LISTENS = "0A"
UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
START = """
mount -t tmpfs -o mode=755 rw "$1/rw"
cp -a "$1/more" "$1/rw/delta"
if [ -d "$2" ]; then mount --bind "$2" "$1/lower"; else mount -o loop,ro "$2" "$1/lower"; fi
[ -e "$1/lower$5" ] || [ -L "$1/lower$5" ]
if [ -e "$1/ids" ]; then
  mount --bind "$1/ids" /etc/subuid
  mount --bind "$1/ids" /etc/subgid
fi
exec lxc-start --lxcpath="$1" --name="$3" --define=lxc.rootfs.path="$4" --define=lxc.init.cmd="$5"
"""


@dataclass
class Booted:
    """A running container."""

    home: Path
    name: str
    started: float

    @property
    def container(self) -> lxc.Container:
        return lxc.Container(self.name, str(self.home))

    @property
    def pid(self) -> int:
        return int(self.container.init_pid)

    def sh(self, script: str) -> str:
        """What a shell script inside says."""
        where = [f"--lxcpath={self.home}", f"--name={self.name}"]
        path = "--set-var=PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        argv = ["lxc-attach", *where, "--clear-env", path, "--", "/bin/sh", "-c", script]
        return process.run(argv, timeout_s=DEADLINE_S).stdout

    def tell(self, script: str) -> None:
        """Run a shell script inside that may end the container, and so itself."""
        where = [f"--lxcpath={self.home}", f"--name={self.name}"]
        argv = [
            "lxc-attach",
            *where,
            "--",
            "/bin/sh",
            "-c",
            f"PATH=/usr/sbin:/sbin:$PATH; {script}",
        ]
        process.run(argv, timeout_s=DEADLINE_S, check=False)

    def listens(self, port: int = 22) -> bool:
        """Whether something inside waits for connections."""
        try:
            lines = Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]
        except FileNotFoundError:
            return False
        sockets = [line.split() for line in lines]
        return any(
            socket[1].endswith(f":{port:04X}") and socket[3] == LISTENS for socket in sockets
        )

    def runs(self, program: str) -> bool:
        """Whether a child of its init is this program."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return any(
                Path(f"/proc/{child}/comm").read_text().strip() == program for child in children
            )
        except FileNotFoundError:
            return False

    def wait(self, condition: Callable[[], bool], words: str) -> float:
        """Wait for a condition; the seconds since the container was started."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                log = self.home / "console.log"
                seen = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                raise AssertionError(f"not within {DEADLINE_S} s: {words}\n{seen}")
            time.sleep(0.005)
        return time.monotonic() - self.started

    def is_stopped(self) -> bool:
        return str(self.container.state) == "STOPPED"

    def stop(self, *how: str) -> float:
        """Let LXC stop it; the seconds that took."""
        began = time.monotonic()
        where = [f"--lxcpath={self.home}", f"--name={self.name}"]
        process.run(["lxc-stop", *where, *how], timeout_s=2 * DEADLINE_S, check=False)
        return time.monotonic() - began


@contextmanager
def booted(
    artefact: Path, arch: str, *, shifted: bool = False, files: Mapping[str, str] | None = None
) -> Iterator[Booted]:
    """Start a container from an image's directory or squashfs; afterwards it is gone.

    `files` are what is written into it before; those that begin with #! can be executed.
    """
    name = f"boot{uuid.uuid4().hex[:8]}"
    home = Path("/var/lib") / f"vct-test-{name}"
    home.mkdir(mode=0o711)
    for directory in ("lower", "rw", "more", name):
        (home / directory).mkdir()
    _write(home / "more", files or {})
    if shifted:
        artefact = _shifted(artefact, home)
    kind = f"dir:{artefact}" if shifted else f"overlay:{home}/lower:{home}/rw/delta"
    config = home / name / "config"
    config.write_text(_config(name, arch, kind, home, shifted=shifted))
    seen = lxc.Container(name, str(home)).get_config_item("lxc.rootfs.path")
    assert seen
    assert kind.endswith(f":{seen}")
    try:
        began = time.monotonic()
        process.run(
            ["unshare", "--mount", "--propagation=slave", "sh", "-euc", START, "start",
             str(home), str(artefact), name, kind, INIT],
            timeout_s=DEADLINE_S,
        )  # fmt: skip
        box = Booted(home=home, name=name, started=began)
        yield box
    finally:
        process.run(
            ["lxc-stop", f"--lxcpath={home}", f"--name={name}", "--kill"],
            timeout_s=DEADLINE_S,
            check=False,
        )
        shutil.rmtree(home)
        locks_below(home).joinpath(f".{name}").unlink(missing_ok=True)
        remove_empty(locks_below(home), LXC_LOCKS)


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        for parent in reversed(path.relative_to(root).parents[:-1]):
            # a directory of the upper layer brings its mode with it
            mode = 0o700 if parent.parts[0] == "root" else 0o755
            (root / parent).mkdir(mode=mode, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o600 if "root" in path.parts else 0o644)


def _config(name: str, arch: str, root: str, home: Path, *, shifted: bool) -> str:
    controls = "lxc.cgroup2" if UNIFIED.exists() else "lxc.cgroup"
    lines = [
        f"lxc.uts.name = {name}",
        f"lxc.arch = {ARCHITECTURES[arch]}",
        f"lxc.rootfs.path = {root}",
        f"lxc.init.cmd = {INIT}",
        "lxc.net.0.type = empty",
        "lxc.pty.max = 64",
        "lxc.tty.max = 1",
        f"lxc.console.logfile = {home}/console.log",
        f"lxc.log.file = {home}/lxc.log",
        "lxc.log.level = WARN",
        "lxc.cap.drop = mac_admin mac_override sys_time sys_module sys_rawio",
        "lxc.apparmor.profile = unconfined",
        "lxc.mount.auto = proc:mixed sys:mixed",
    ]
    if shifted:
        (home / "ids").write_text(f"root:{BASE}:{COUNT}\n")
        lines += [f"lxc.idmap = u 0 {BASE} {COUNT}", f"lxc.idmap = g 0 {BASE} {COUNT}"]
    else:
        devices = (
            "c 1:3",
            "c 1:5",
            "c 1:7",
            "c 1:8",
            "c 1:9",
            "c 5:0",
            "c 5:1",
            "c 5:2",
            "c 136:*",
        )
        lines.append(f"{controls}.devices.deny = a")
        lines += [f"{controls}.devices.allow = {device} rwm" for device in devices]
    return "\n".join(lines) + "\n"


def _shifted(artefact: Path, home: Path) -> Path:
    """A copy whose files belong to the ids of the user namespace."""
    root = home / "root"
    if artefact.is_dir():
        process.run(["cp", "-a", str(artefact), str(root)], timeout_s=120)
    else:
        process.run(["unsquashfs", "-quiet", "-no-progress", "-dest", str(root), str(artefact)])
    for top, directories, files in os.walk(root):
        for path in (Path(top), *(Path(top) / name for name in [*directories, *files])):
            seen = path.lstat()
            if seen.st_uid < BASE:
                os.chown(path, seen.st_uid + BASE, seen.st_gid + BASE, follow_symlinks=False)
                if not stat.S_ISLNK(seen.st_mode):
                    path.chmod(stat.S_IMODE(seen.st_mode))  # chown takes the set-id bits away
    return root
