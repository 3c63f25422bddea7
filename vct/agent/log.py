"""The agent's log: lines with a date in one file of bounded size, and one old one.

The standard library's logging would take a fifth of the agent's memory. A disk that is full
or broken costs lines, never the agent.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

SIZE_MAX = 1_000_000  # octets
LINE_MAX = 2000


class Log:
    """`write` is for one thread at a time. What is said again and again is written once."""

    def __init__(
        self, path: Path, *, size_max: int = SIZE_MAX, clock: Callable[[], float] = time.time
    ) -> None:
        self._path, self._size_max, self._clock = path, size_max, clock
        self._last: tuple[str, ...] = ()

    def write(self, line: str) -> None:
        """One line; the control characters of others' words are blanks."""
        clean = "".join(sign if sign.isprintable() else " " for sign in line[:LINE_MAX])
        date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > self._size_max:
                self._path.replace(self._path.with_name(f"{self._path.name}.old"))
            with self._path.open("ab") as file:
                file.write(f"{date} {clean}\n".encode(errors="replace"))
        except OSError:
            return

    def write_changes(self, lines: tuple[str, ...]) -> None:
        """Those lines that were not among the last time's: a lasting fault fills no disk."""
        for line in lines:
            if line not in self._last:
                self.write(line)
        self._last = lines


class Words(io.TextIOBase):
    """What would be written to the terminal, as lines of the log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log, self._begun = log, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log.write(line)
        self._begun = self._begun[-LINE_MAX:]
        return len(text)
