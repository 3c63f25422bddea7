"""gunicorn's settings, for the service (vct.controller.lifecycle) and for gunicorn alone:
`python -m gunicorn -c python:vct.controller.serving vct.controller.wsgi`.

Who starts it says where to listen. One process with threads: SQLite has one writer, and
log in is limited by counts that a process keeps. Needs no Django.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gunicorn.http.message import Request
    from gunicorn.workers.base import Worker

workers = 1
threads = 8  # a request that waits for a file holds up no other
timeout = 60  # seconds, of silence of the process; uploads and slow readers are not silence
graceful_timeout = 8  # controller-service kills after ten seconds
keepalive = 5
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a heartbeat that must not wait for a disk
# then the process is a new one, whatever it has gathered
max_requests, max_requests_jitter = 20_000, 2_000
proc_name = "vct-controller"
control_socket_disable = True
forwarded_allow_ips = ""  # nobody's headers say where a request came from, or how
_to_stderr = {"level": "INFO", "handlers": ["stderr"], "propagate": False}
logconfig_dict: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "vct.controller.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {**_to_stderr, "qualname": "gunicorn.error"},
        # open maps ask every few seconds; who changed what is in the audit log
        "gunicorn.access": {**_to_stderr, "level": "WARNING", "qualname": "gunicorn.access"},
    },
}


def pre_request(worker: Worker, request: Request) -> None:
    """Who asks through TLS is said once, at the beginning of a connection (PROXY protocol), and
    gunicorn forgets it with the first request: it is kept for those that follow."""
    source: Any = request.unreader  # one for each connection
    if request.proxy_protocol_info:
        source.proxied = request.proxy_protocol_info
    else:
        request.proxy_protocol_info = getattr(source, "proxied", None)
