"""The relay: one process per testbed that delays, spreads, drops and slows frames between TAPs.

`python -m vct.drivers.relay_process TESTBED RUN_DIRECTORY` goes to the background and returns when
its control socket answers. It ends on SIGTERM, or when that socket's file is gone. It imports
little beyond the standard library, so that a testbed's relay costs few megabytes.
vct.drivers.relay starts it and speaks with it; the words are in vct.drivers.relay_protocol.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from vct.drivers.relay_control import BACKLOG, Control
from vct.drivers.relay_links import Links
from vct.drivers.relay_protocol import (
    LOG,
    PID_FILE,
    SOCKET,
    ProtocolError,
    RelayState,
    parse_request,
    render_error,
    render_state,
)

TICK_S = 2.0  # how often it looks whether its socket and its TAPs are still there
LOG_OCTETS = 256 * 1024
CLOCK_MONOTONIC, TFD_NONBLOCK, TFD_CLOEXEC, TFD_TIMER_ABSTIME = 1, 0o4000, 0o2000000, 1
TIMER = struct.Struct("@qqqq")  # itimerspec: no interval, seconds, nanoseconds
_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """Wakes the epoll at a moment of the monotonic clock, to the microsecond."""

    def __init__(self, epoll: select.epoll) -> None:
        self.descriptor = int(_libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC))
        self._at_ns: int | None = None
        epoll.register(self.descriptor, select.EPOLLIN)

    def set(self, at_ns: int | None) -> None:
        """Ring at this time; the time before is forgotten, unless there is no new one."""
        if at_ns is None or at_ns == self._at_ns:
            return
        self._at_ns = at_ns
        seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
        setting = TIMER.pack(0, 0, seconds, nanoseconds)
        _libc.timerfd_settime(self.descriptor, TFD_TIMER_ABSTIME, setting, None)

    def rang(self) -> None:
        """Take note of a ring."""
        self._at_ns = None
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)


class Relay:
    """The running relay: waits, moves frames, answers, until it is told to stop."""

    def __init__(self, testbed: str, run: Path, listening: socket.socket) -> None:
        self._testbed = testbed
        self._socket = run / SOCKET
        self._socket_inode = self._socket.stat().st_ino
        self._epoll = select.epoll()
        self._timer = Timer(self._epoll)
        self._links = Links(self._epoll, log)
        self._control = Control(self._epoll, listening, self._answer)
        self._stop = _stop_signal()
        self._epoll.register(self._stop, select.EPOLLIN)

    def serve(self) -> str:
        """Run until something ends it, and say what did."""
        tick_s = time.monotonic() + TICK_S
        while True:
            for descriptor, events in self._epoll.poll(TICK_S):
                if self._links.receive(descriptor, time.monotonic_ns()):
                    continue
                if descriptor == self._timer.descriptor:
                    self._timer.rang()
                elif descriptor == self._stop.fileno():
                    return "told to stop"
                else:
                    self._control.handle(descriptor, events)
            now_ns = time.monotonic_ns()
            self._links.deliver(now_ns)
            self._timer.set(self._links.next_ns())
            if now_ns >= tick_s * 1e9:
                tick_s = now_ns / 1e9 + TICK_S
                if not self._is_wanted():
                    return "its socket is gone"
                self._links.check()
                self._links.attach_missing()

    def close(self) -> None:
        """Let go of the TAPs, and of the socket's file if it is still this relay's."""
        self._links.close()
        self._control.close()
        if self._is_wanted():
            self._socket.unlink()

    def _is_wanted(self) -> bool:
        try:
            return self._socket.stat().st_ino == self._socket_inode
        except FileNotFoundError:
            return False

    def _answer(self, line: bytes) -> bytes:
        try:
            do, links = parse_request(line)
        except ProtocolError as error:
            return render_error(str(error))
        if do == "set":
            self._links.set(links, time.monotonic_ns())
        else:
            self._links.check()
        state = RelayState(testbed=self._testbed, pid=os.getpid(), links=self._links.states())
        return render_state(state)


def log(words: str) -> None:
    """A line in the log, which starts afresh when it has grown too long."""
    if os.fstat(2).st_size > LOG_OCTETS:
        os.ftruncate(2, 0)
    os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n".encode())


def main(argv: list[str]) -> int:
    """Start a relay in the background; 0 when it answers, 1 when it could not start."""
    testbed, run = argv[0], Path(argv[1]).absolute()
    os.umask(0o177)  # socket, pid file and log are for root only
    try:
        listening = _listen(run / SOCKET)
    except OSError as error:
        os.write(2, f"cannot listen on {run / SOCKET}: {error.strerror}\n".encode())
        return 1
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return 0 if os.read(ready, 1) else 1
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(ready)
    _go_to_background(run)
    relay = Relay(testbed, run, listening)
    pid_file = run / PID_FILE
    pid_file.write_text(f"{os.getpid()}\n")
    os.write(tell, b"1")
    os.close(tell)
    log(f"relay of {testbed} started, process {os.getpid()}")
    try:
        log(f"ends: {relay.serve()}")
    finally:
        relay.close()
        with contextlib.suppress(OSError):
            if pid_file.read_text().strip() == str(os.getpid()):
                pid_file.unlink()
    return 0


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen(BACKLOG)
    return listening


def _go_to_background(run: Path) -> None:
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    records = os.open(run / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((nothing, 0), (nothing, 1), (records, 2)):
        os.dup2(descriptor, target)
    os.close(nothing)
    os.close(records)
    # Nothing here makes cycles, and looking for them takes milliseconds when queues are long.
    gc.freeze()
    gc.disable()


def _stop_signal() -> socket.socket:
    """A socket that becomes readable when SIGTERM arrives."""
    stop, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    for harmless in (signal.SIGINT, signal.SIGHUP):
        signal.signal(harmless, signal.SIG_IGN)
    return stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
