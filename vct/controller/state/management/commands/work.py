"""`python -m vct.controller work`: the periodic work, until SIGTERM or SIGINT."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vct.controller.worker import Worker

LOCK = "worker.lock"  # in the data directory; goes with the process


class Command(BaseCommand):
    """Runs in the foreground; whoever starts it looks after it."""

    help = "Polls nodes, removes old files and slices. One at a time for each testbed."
    requires_system_checks = ()  # they load all pages and the API: 12 MB more

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when another one works on the same testbed."""
        ending = Event()

        def stop(number: int, frame: FrameType | None) -> None:
            ending.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        with the_only_one(Path(settings.CONFIG.data)):
            Worker(stopping=ending.is_set).run(ending)


@contextmanager
def the_only_one(data: Path) -> Iterator[IO[str]]:
    """Holds the testbed's lock, which is the open file.

    Raises CommandError when another process has it.
    """
    with (data / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError("another worker runs for this testbed") from error
        yield lock
