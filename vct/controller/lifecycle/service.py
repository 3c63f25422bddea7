"""The controller's service: gunicorn, whose master process also does the periodic work.

What both processes need is loaded once and then forked, so that they share most of their memory.
What is needed only once, as the migrations, is loaded by a process that ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import CommandError
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from django.urls import get_resolver
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from vct.controller import serving
from vct.controller.state.management.commands.work import the_only_one
from vct.controller.worker import TICK_S, Worker

PR_SET_PDEATHSIG = 1  # prctl(2)


class Server(BaseApplication):
    """gunicorn with the application that is loaded already."""

    def __init__(self, bind: str, lock: IO[str]) -> None:
        self._bind, self._lock = bind, lock
        super().__init__()

    def load_config(self) -> None:
        told = {name: value for name, value in vars(serving).items() if name in self.cfg.settings}
        told |= {"bind": self._bind, "post_fork": self._leave_lock}
        if settings.CONFIG.tls:  # stunnel, on the same machine, says who asks it
            told |= {"proxy_protocol": "v1", "proxy_allow_ips": "127.0.0.1,::1"}
        for name, value in told.items():
            self.cfg.set(name, value)

    def _leave_lock(self, master: Arbiter, child: object) -> None:
        """It is the master's: another one may begin while this child still ends."""
        self._lock.close()

    def load(self) -> Any:
        return get_wsgi_application()


class Master(Arbiter):
    """gunicorn's master, which does what is due in its rounds.

    It has no threads, and no connections when it forks. Any signal, as that of a child's end, ends
    early what takes long: gunicorn is never held up.
    """

    def __init__(self, app: BaseApplication) -> None:
        super().__init__(app)
        self._worker = Worker(stopping=lambda: not self.SIG_QUEUE.empty())

    def spawn_worker(self) -> int:
        connections.close_all()
        return super().spawn_worker()

    def wait_for_signals(self, timeout: float | None = None) -> list[int]:
        """Between two rounds; gunicorn would wait for a second."""
        return super().wait_for_signals(TICK_S)

    def manage_workers(self) -> None:
        super().manage_workers()
        self._worker.tick()


def is_preparer() -> bool:
    """True in a new process, whose end gives back the memory that preparing takes; False after it.

    Raises CommandError when it failed; why was said by that process.
    """
    connections.close_all()  # none may be shared
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        return True
    if os.waitpid(pid, 0)[1]:
        raise CommandError("the data was not prepared: not started")
    return False


def run(bind: str) -> None:
    """Work, and serve at `bind` (gunicorn's word), until SIGTERM."""
    if connection.vendor == "sqlite":
        # REST framework loads PostgreSQL's fields whenever it can: 5 MB
        sys.modules["psycopg"] = None  # type: ignore[assignment] # "not installed"
    get_resolver().url_patterns  # noqa: B018 - loads all pages
    with the_only_one(Path(settings.CONFIG.data)) as lock:
        server = Server(bind, lock)
        master = Master(server)
        connections.close_all()
        gc.collect()
        gc.freeze()  # pages that the collector does not write to stay shared
        master.run()
