"""Locks on files, by flock(2): held by a descriptor, so a dead process holds none.

Shared or alone. Every call opens the file anew, so threads of one process wait for each other too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE_S = 0.05


def pause() -> None:
    """Between two looks at a lock that is taken."""
    time.sleep(PAUSE_S)


@contextmanager
def held(
    file: Path,
    waiting: Callable[[str], None],
    words: str,
    *,
    shared: bool = False,
    pause: Callable[[], None] = pause,
) -> Iterator[int]:
    """Hold a lock; yields its descriptor.

    When it is taken `waiting` gets `words`, in which {} stands for who has it. A thread cannot be
    woken from flock(2): `pause` raises when there is nothing to wait for any more.
    """
    descriptor = _open(file)
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        if not _take(descriptor, how):
            holder = os.pread(descriptor, 32, 0).decode().strip()
            waiting(words.format(f"process {holder or 'unknown'}"))
            while not _take(descriptor, how):
                pause()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def tried(file: Path) -> Iterator[bool]:
    """Hold a lock alone if nobody has it now; yields whether it is held."""
    descriptor = _open(file)
    try:
        yield _take(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _take(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
