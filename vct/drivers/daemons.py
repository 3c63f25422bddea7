"""Programs of ours that outlive vct: found by their command line, ended by a process handle.

A pid that was read from a file may be somebody else's by now, so the command line always decides.
A process counts as ended when its handle says so: its command line is empty earlier, while the
kernel still closes its sockets. The DHCP server's and the relay's drivers call this.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vct.errors import VctError

DEADLINE_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A program in the background: what messages call it, and whether a command line is its."""

    what: str
    is_its: Callable[[list[str]], bool]

    def is_at(self, pid: int) -> bool:
        """Whether the process of this number is the daemon, alive."""
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return self.is_its(line.decode(errors="replace").split("\0"))

    def find(self) -> int | None:
        """The daemon's pid, looked for among all processes."""
        running = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
        return next((pid for pid in running if self.is_at(pid)), None)

    def end(self, pid: int) -> None:
        """Ask this process to end if it is the daemon, and kill it if it does not in 2 s."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if not self.is_at(pid):
                return
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                if _ended(handle):
                    return
        finally:
            os.close(handle)
        raise VctError(f"{self.what}, process {pid}, does not end", hint=f"run: kill -9 {pid}")


def _ended(handle: int) -> bool:
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(DEADLINE_MS))
