"""One vct at a time on a testbed: a lock file that the kernel releases when its holder ends."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vct.errors import LockedError

HOLDER_TRIES = 20


@contextmanager
def locked(file: Path, of: str = "") -> Iterator[None]:
    """Hold the lock for the block. Raises LockedError at once when another process has it.

    `of` is what is locked, for the error; a testbed if nothing is said.
    """
    while True:
        try:
            file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another vct has just removed a directory around it
            continue
        try:
            _take(descriptor, of or f"testbed {file.parent.name}")
            # A cleanup that ended just now may have removed the file that we hold.
            if not file.exists() or file.stat().st_ino != os.fstat(descriptor).st_ino:
                continue
            os.ftruncate(descriptor, 0)  # one that was killed left its name
            os.write(descriptor, f"{os.getpid()} {' '.join(sys.argv[1:])}".encode())
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
            return
        finally:
            os.close(descriptor)


def _take(descriptor: int, of: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, command = _holder(descriptor).partition(" ")
        raise LockedError(
            f"another vct works on {of} (pid {pid}: vct {command})",
            hint="wait until it has ended, or end it with Ctrl-C; then try again",
        ) from None


def _holder(descriptor: int) -> str:
    """What the holder wrote into the file; it may be just about to."""
    for _ in range(HOLDER_TRIES):
        if said := os.pread(descriptor, 200, 0):
            return said.decode(errors="replace")
        time.sleep(0.01)
    return "unknown"
