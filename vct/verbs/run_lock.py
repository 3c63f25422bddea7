"""Who has a run of an image, and what all runs share: locks, and endings that signals do not tear.

A run's lock says that it is in use; the directory of all runs is held by each of them, so that the
last one to end knows it. Called by vct.verbs.image_run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vct.apply.lock import locked
from vct.drivers import guest as guests
from vct.drivers import process
from vct.drivers.run_config import ending_group, group_of
from vct.errors import LockedError
from vct.paths import Home, ImageRunPaths

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def run_locked(home: Home, paths: ImageRunPaths) -> Iterator[None]:
    """Hold a run's lock; its file goes with the block. Raises LockedError."""
    try:
        with locked(paths.lock, of=f"run {paths.name}"), _among_others(home):
            try:
                yield
            finally:
                shutil.rmtree(paths.run, ignore_errors=True)
                with suppress(OSError):  # others'
                    for directory in paths.run.parents:
                        if directory.is_relative_to(home.run):
                            directory.rmdir()
    except LockedError as error:
        inside = guests.attach_command(home.image_runs, paths.name, ["sh"])
        error.hint = f"get inside too: {process.render_command(inside)}\nor {error.hint}"
        raise


@contextmanager
def _among_others(home: Home) -> Iterator[None]:
    """Control groups and directories around all runs are there for the block; whoever comes out
    last removes them."""
    home.image_runs.mkdir(mode=0o711, exist_ok=True)
    directory = os.open(home.image_runs, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_SH)
        yield
    finally:
        # First let go, then try to have it alone: of two that end together one must succeed.
        fcntl.flock(directory, fcntl.LOCK_UN)
        with suppress(BlockingIOError):
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            group = Path(group_of(home.image_runs, "any")).parent
            guests.discard_parents(str(group), ending_group(home.image_runs), home.image_runs)
        os.close(directory)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and its like do not tear the ending, which is what they ask for anyway.

    Not SIG_IGN: programs that are started meanwhile would inherit that.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as with nohup
            signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
