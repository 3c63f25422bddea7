"""A PostgreSQL server of the caller's own: unprivileged, in a directory of the caller's, on a
socket only. Used by the tests' `conftest` and by the controller's benchmark."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALLED = Path("/usr/lib/postgresql")
UNPRIVILEGED = "nobody"
USER = "vct"


def is_installed() -> bool:
    return any(INSTALLED.glob("*/bin/initdb"))


def programs() -> Path:
    """Where Debian has PostgreSQL's programs, the newest version's."""
    assert is_installed(), "PostgreSQL is not installed: apt-get install postgresql"
    found = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent


@contextmanager
def server(home: Path, sockets: Path, *, durable: bool = False) -> Iterator[None]:
    """Runs one whose superuser is USER; both directories are made here. Not durable is faster.

    Everybody may pass through `home` meanwhile: who runs the server is not who made it.
    """
    home.chmod(0o711)
    cluster = home / "cluster"
    for directory in (cluster, sockets):
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(directory, UNPRIVILEGED)
    sockets.chmod(0o755)
    control: list[str | Path] = [programs() / "pg_ctl", "-D", cluster, "-w"]
    _run(programs() / "initdb", "-D", cluster, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -k {sockets}" + ("" if durable else " -c fsync=off")
    _run(*control, "-l", cluster / "log", "-o", options, "start")
    try:
        yield
    finally:
        _run(*control, "-m", "immediate", "stop")


def _run(*argv: str | Path) -> None:
    """As somebody who may nothing: PostgreSQL refuses to be root."""
    user = ["runuser", "-u", UNPRIVILEGED, "--"] if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*user, *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True, cwd="/", text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
