"""The controller's processes as one service: the worker, and gunicorn as its child.

What both need is loaded once and then forked, which saves a third of their memory. Whichever of
them ends, the other ends too, and who runs the service (init, in the container) starts it again.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from contextlib import suppress
from typing import Any

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.urls import get_resolver
from gunicorn.app.base import BaseApplication

PR_SET_PDEATHSIG = 1  # prctl(2)
THREADS = 8  # a request that waits for a file holds up no other
REQUESTS = 20_000  # then gunicorn's worker is a new one, whatever it has gathered


class Server(BaseApplication):
    """gunicorn with the application that is loaded already."""

    def __init__(self, bind: str) -> None:
        self._bind = bind
        super().__init__()

    def load_config(self) -> None:
        told: dict[str, Any] = {
            "bind": self._bind,
            "workers": 1,
            "threads": THREADS,
            "worker_tmp_dir": "/dev/shm",  # noqa: S108 - only for its own heartbeat
            "max_requests": REQUESTS,
            "max_requests_jitter": REQUESTS // 10,
            "control_socket_disable": True,
        }
        for name, value in told.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return get_wsgi_application()


def run(bind: str) -> None:
    """Work, and serve at `bind` (gunicorn's word), until one of the two ends or SIGTERM comes."""
    from vct.controller import worker  # noqa: F401 - loaded before it is needed

    get_resolver().url_patterns  # noqa: B018 - loads all pages
    connections.close_all()  # none may be shared
    gc.collect()
    gc.freeze()  # pages that the collector does not write to stay shared
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        Server(bind).run()
    signal.signal(signal.SIGCHLD, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        call_command("work")
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
