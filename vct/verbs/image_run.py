"""Containers straight from a stored image: started, entered, ended, listed, removed.

A run has a directory below the state root with its writable layer. It lives as long as the block
of `running`; then it is halted or killed, and deleted unless it was meant to be kept. What a killed
vct leaves behind is cleared by the next one. Called by the command line and by vct.testing.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vct.build.store import find_image, read_image
from vct.drivers import guest as guests
from vct.drivers import process
from vct.drivers.disk_image import loop_device, make_disk
from vct.drivers.guest import Guest
from vct.drivers.host import check_host, ensure_home, require
from vct.drivers.layers import Layers
from vct.drivers.lxc_config import INIT, uses_cgroup2
from vct.drivers.run_config import IDLE, group_of, render_run, write_below
from vct.drivers.textfiles import read, write
from vct.errors import LockedError, RefusedError, UsageError, VctError
from vct.paths import Home, ImageRunPaths
from vct.verbs.run_lock import run_locked, undisturbed

DEFAULT_SIZE_MIB = 512
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")  # is a host name too
SHELL = ("sh", "-c", 'exec "$(command -v bash || command -v sh)" -l')
KILLED = frozenset({128 + signal.SIGHUP, 128 + signal.SIGTERM, 128 + signal.SIGKILL})
HALT_DEADLINE_S = 10.0
BLOCK = 512  # the unit of st_blocks, whatever the file system's is (stat(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to run. Without a name the run gets one, and is removed when it ends.

    `size_mib` 0: as the run has it, or DEFAULT_SIZE_MIB. `boot`: start the image's own init; else
    nothing but what is called runs in it.
    """

    image: str
    arch: str = "amd64"
    name: str = ""
    size_mib: int = 0
    remove: bool = False
    boot: bool = True

    @property
    def temporary(self) -> bool:
        return self.remove or not self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it was made. `made` is the time in UTC (ISO 8601), `digest` the image's."""

    name: str
    image: str
    arch: str
    digest: str
    size_mib: int
    temporary: bool
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run as it is. `run` is None if its making was cut short; `used_mib` is real disk space."""

    name: str
    run: Run | None
    running: bool
    used_mib: float


@contextmanager
def running(home: Home, wanted: Wanted) -> Iterator[Guest]:
    """Start a container from an image; after the block it has ended, and is gone if temporary.

    Raises LockedError when a run of this name is running, RefusedError when there is one of
    another image or size.
    """
    if wanted.name and not NAME.fullmatch(wanted.name):
        raise UsageError(
            f"{wanted.name!r} is not a name for a run",
            hint="a name has lower-case letters, digits and dashes, at most 48",
        )
    require(check_host(home))
    ensure_home(home)
    clear_left_behind(home)
    paths = home.image_run(wanted.name or f"{wanted.image}-{secrets.token_hex(3)}")
    with run_locked(home, paths):
        guest: Guest | None = None
        try:
            run = _prepared(home, paths, wanted)
            guest = _guest(home, run, boot=wanted.boot)
            _start(guest, paths, run)
            yield guest
        finally:
            with undisturbed():
                keep = not wanted.temporary and bool(read(paths.record))
                try:
                    if guest and keep and wanted.boot:
                        _halt(guest)
                finally:
                    _end(home, paths, remove=not keep)


def enter(guest: Guest, command: Sequence[str] = ()) -> int:
    """Run a command, or a root shell, inside on this terminal; returns its exit code.

    A shell that ended because the container was rebooted is followed by another one.
    """
    if command:
        return _foreground(guest, command)
    while True:
        _, pid = guests.state_of(guest.lxc_path, guest.name)
        code = _foreground(guest, SHELL)
        if code not in KILLED:
            return code
        if not _rebooted(guest, pid):
            return 0


def captured(guest: Guest, command: Sequence[str]) -> process.Completed:
    """Run a command inside and return what it printed."""
    argv = guests.attach_command(guest.lxc_path, guest.name, command)
    return process.run(argv, check=False, cwd=Path("/"))


def runs(home: Home) -> list[Seen]:
    """All runs, sorted by name."""
    if not home.image_runs.is_dir():
        return []
    names = sorted(path.name for path in home.image_runs.iterdir())
    return [_seen(paths) for paths in map(home.image_run, names) if paths.mark.exists()]


def _seen(paths: ImageRunPaths) -> Seen:
    """LXC is not asked: that would leave a lock file of its own for each."""
    image = paths.root / "disk.img"
    try:
        used = image.stat().st_blocks * BLOCK
    except FileNotFoundError:  # half made, or half removed
        used = 0
    return Seen(
        name=paths.name,
        run=_load(paths),
        running=bool(loop_device(image)),
        used_mib=round(used / 2**20, 2),
    )


def remove(home: Home, name: str) -> None:
    """Remove a run; one that was left running is killed. Raises LockedError if it is in use."""
    paths = home.image_run(name)
    if not NAME.fullmatch(name) or not paths.mark.exists():
        have = ", ".join(seen.name for seen in runs(home)) or "none"
        raise UsageError(f"there is no run {name}", hint=f"runs here: {have}")
    with run_locked(home, paths), undisturbed():
        _end(home, paths, remove=True)


def remove_all(home: Home) -> None:
    """Remove all runs, as `purge` does. Raises LockedError if one is in use."""
    for seen in runs(home):
        remove(home, seen.name)


def clear_left_behind(home: Home) -> None:
    """Remove temporary runs, and half-made ones, whose vct was killed."""
    for seen in runs(home):
        if seen.run is None or seen.run.temporary:
            with suppress(LockedError, UsageError):  # its vct is alive, or has just removed it
                remove(home, seen.name)


# --- making and starting -------------------------------------------------------------------------


def _prepared(home: Home, paths: ImageRunPaths, wanted: Wanted) -> Run:
    """The run as it is, or made now; its record comes last and says that all is there."""
    run = _load(paths)
    if run is None:
        return _made(home, paths, wanted)
    if run.image != wanted.image or wanted.size_mib not in (0, run.size_mib):
        raise RefusedError(
            f"run {run.name} is one of {run.image} with {run.size_mib} MiB",
            hint=f"choose another name, or remove it: vct image runs --remove {run.name}",
        )
    return run


def _made(home: Home, paths: ImageRunPaths, wanted: Wanted) -> Run:
    image = find_image(home.images, wanted.image, wanted.arch)
    if paths.root.exists() and not paths.mark.exists() and any(paths.root.iterdir()):
        raise RefusedError(
            f"the directory {paths.root} exists and is not ours",
            hint="choose another name, or move the directory away",
        )
    paths.root.mkdir(mode=0o711, exist_ok=True)
    paths.mark.touch()
    run = Run(
        name=paths.name,
        image=wanted.image,
        arch=image.arch,
        digest=image.digest,
        size_mib=wanted.size_mib or DEFAULT_SIZE_MIB,
        temporary=wanted.temporary,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_below(paths.below)
    make_disk(paths.root / "disk.img", run.size_mib)
    write(paths.record, json.dumps(asdict(run), indent=1))
    return run


def _load(paths: ImageRunPaths) -> Run | None:
    try:
        return Run(**json.loads(read(paths.record)))
    except (ValueError, TypeError):
        return None


def _guest(home: Home, run: Run, *, boot: bool) -> Guest:
    """The run as a container. Raises VctError when its image is gone."""
    try:
        image = read_image(home.images, run.digest).path
    except FileNotFoundError:
        raise VctError(
            f"the image of run {run.name} is gone: {run.image} {run.digest[:12]}",
            hint=f"what was written is lost without it: vct image runs --remove {run.name}",
        ) from None
    paths = home.image_run(run.name)
    layers = Layers(image=image, place=paths.root, below=paths.below)
    return _as_guest(home, paths, layers, INIT if boot else IDLE)


def _as_guest(home: Home, paths: ImageRunPaths, layers: Layers, init: str = INIT) -> Guest:
    return Guest(
        called=f"run {paths.name}",
        name=paths.name,
        lxc_path=home.image_runs,
        layers=layers,
        group=group_of(home.image_runs, paths.name),
        again=f"vct image run --name {paths.name}",
        init=init,
    )


def _start(guest: Guest, paths: ImageRunPaths, run: Run) -> None:
    guests.stop(guest, kill=True)  # one that a killed vct left running
    guests.discard_remains(guest)
    text = render_run(
        paths,
        root=guest.layers.root,
        init=guest.init,
        arch=run.arch,
        image=f"{run.image} {guest.layers.image}",
        cgroup2=uses_cgroup2(),
    )
    write(paths.config, text, mode=0o640)
    guests.start(guest, text)


# --- inside --------------------------------------------------------------------------------------


def _foreground(guest: Guest, command: Sequence[str]) -> int:
    """On this terminal. Ctrl-C at a terminal is the command's; else it ends the run."""
    running = process.start(
        guests.attach_command(guest.lxc_path, guest.name, command),
        stdin=None,
        stdout=None,
        stderr=None,
        cwd=Path("/"),
        env={"TERM": os.environ["TERM"]} if "TERM" in os.environ else {},
    )
    try:
        code = int(running.wait())
    except BaseException:
        with undisturbed():
            guests.stop(guest, kill=True)  # then it ends by itself, and gives the terminal back
            running.wait()
        raise
    return code if code >= 0 else 128 - code


def _rebooted(guest: Guest, pid: int) -> bool:
    """Whether a container whose init had this pid runs with another one; False if it halted."""
    deadline = time.monotonic() + HALT_DEADLINE_S
    while time.monotonic() < deadline and guests.disk_in_use(guest):
        state, now = guests.state_of(guest.lxc_path, guest.name)
        if state == "RUNNING" and now != pid:
            return True
        time.sleep(0.02)
    return False


# --- ending --------------------------------------------------------------------------------------


def _halt(guest: Guest) -> None:
    """Let a booted system end itself: every init knows `halt`, not every one LXC's signal.

    Asked for more than once: one that is still booting may not hear it.
    """
    deadline = time.monotonic() + HALT_DEADLINE_S
    asked = 0.0
    while guests.disk_in_use(guest) and time.monotonic() < deadline:
        if time.monotonic() > asked + 1:
            asked = time.monotonic()
            argv = guests.attach_command(guest.lxc_path, guest.name, ["halt"])
            with suppress(process.CommandError):  # late; what is left is killed
                process.run(argv, check=False, cwd=Path("/"), timeout_s=HALT_DEADLINE_S)
        time.sleep(0.02)


def _end(home: Home, paths: ImageRunPaths, *, remove: bool) -> None:
    """Kill what still runs; leave nothing but the files, and not even these if `remove`."""
    guest = _as_guest(home, paths, Layers(image=paths.root, place=paths.root))
    guests.stop(guest, kill=True)
    guests.discard_remains(guest)
    if remove and paths.mark.exists():
        shutil.rmtree(paths.root)
