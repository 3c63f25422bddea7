"""A live controller on loopback: gunicorn with a database and a directory of its own.

Slow tests and the controller's benchmark use it. The port is the kernel's choice, and the socket is
made here, so nothing is guessed and nothing can take it meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vct.controller import config

ADMIN, PASSWORD = "admin", "correct horse battery"
WSGI = "vct.controller.wsgi"
STARTS_WITHIN_S = 180  # of a busy machine; nothing waits longer than it must
ENDS_WITHIN_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `content` is the JSON in the body, None without a body."""

    status: int
    headers: Mapping[str, str]
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A running controller. `pid` is that of the master process."""

    uri: str  # without a final slash
    pid: int
    environment: Mapping[str, str]  # for other programs of the same controller

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request, of a path or a whole URI; header names with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = HTTPConnection(urlsplit(self.uri).netloc, timeout=STARTS_WITHIN_S)
        connection.request(
            method,
            path.removeprefix(self.uri),
            None if body is None else json.dumps(body).encode(),
            sent,
        )
        response = connection.getresponse()
        text = response.read()
        connection.close()
        content = json.loads(text) if text else None
        return Answer(status=response.status, headers=dict(response.headers), content=content)


@contextmanager
def live(home: Path, *, database: str = "sqlite", workers: int = 2) -> Iterator[Live]:
    """A controller in an empty directory, with one superuser, ADMIN with PASSWORD."""
    path = home / "controller.json"
    (home / "static").mkdir()
    config.write(config.generated(home, database=database, hosts=("127.0.0.1",)), path)
    environment = {
        **os.environ,
        config.VARIABLE: str(path),
        "DJANGO_SETTINGS_MODULE": "vct.controller.settings",
    }
    manage(environment, "migrate", "--verbosity", "0")
    manage(
        {**environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        *("createsuperuser", "--noinput", "--username", ADMIN, "--email", "admin@localhost"),
    )
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        uri = f"http://127.0.0.1:{listening.getsockname()[1]}"
        bind = ["--bind", f"fd://{listening.fileno()}", "--no-control-socket"]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--workers", str(workers), *bind, WSGI],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening.fileno()],
            )
        try:
            found = Live(uri=uri, pid=server.pid, environment=environment)
            health = found.ask("GET", "/health/")  # waits in the socket's queue until it answers
            assert health.status == 200, health.content
            yield found
        finally:
            server.terminate()
            server.wait(ENDS_WITHIN_S)


def manage(environment: Mapping[str, str], *arguments: str) -> None:
    """Runs one of the controller's own commands. Raises AssertionError with what it said."""
    ended = subprocess.run(
        [sys.executable, "-m", "vct.controller", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
