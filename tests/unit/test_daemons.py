"""Ending what runs in the background: only what is ours, and not before it is really over."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vct.drivers import process
from vct.drivers.daemons import Daemon

HOLDING = """
import signal, socket, sys, time
memory = bytearray(64 << 20)  # the kernel frees this before it closes the socket
holder = socket.socket()
holder.bind(("127.0.0.1", int(sys.argv[2])))
holder.listen()
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def holding(mark: str, port: int, manner: str = "") -> Iterator[int]:
    """A process that listens on a port of loopback, "deaf" to SIGTERM or not."""
    argv = [sys.executable, "-S", "-c", HOLDING, mark, str(port), manner]
    running = process.start(argv, stdout=process.PIPE)
    try:
        assert running.stdout is not None
        assert select.select([running.stdout], [], [], 20)[0]
        running.stdout.readline()
        yield running.pid
    finally:
        running.kill()
        running.communicate()


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def marked(mark: str) -> Daemon:
    return Daemon(what="the holder", is_its=lambda words: mark in words)


def test_it_works(tmp_path: Path) -> None:
    """What an ended process held is free at once."""
    port, daemon = free_port(), marked(str(tmp_path))
    for _ in range(5):
        with holding(str(tmp_path), port) as pid:
            assert daemon.find() == pid
            daemon.end(pid)
            with closing(socket.socket()) as next_one:
                next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                next_one.bind(("127.0.0.1", port))
            assert not daemon.is_at(pid)


def test_a_deaf_daemon_is_killed(tmp_path: Path) -> None:
    daemon = marked(str(tmp_path))
    with holding(str(tmp_path), free_port(), "deaf") as pid:
        daemon.end(pid)
        ending = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ending is not None
        assert ending.si_status == signal.SIGKILL


def test_a_process_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with holding("another", free_port()) as pid:
        marked(str(tmp_path)).end(pid)
        assert marked("another").is_at(pid)


def test_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    with holding(str(tmp_path), free_port()) as pid:
        pass
    marked(str(tmp_path)).end(pid)
    assert marked(str(tmp_path)).find() is None
