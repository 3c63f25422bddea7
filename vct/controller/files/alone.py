"""One at a time in all of the controller's processes and threads. Needs no Django."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Waits for whoever else is in this directory; a crash lets go of it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
