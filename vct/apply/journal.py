"""The journal of a testbed: one JSON line per step that began, ended, failed or was undone.

For people and for support: nothing is read back to decide anything, the kernel says what is.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from vct.plan.steps import Step

MAX_BYTES = 4 * 1024 * 1024


class Journal:
    """Appends to a file, which is renamed to `.1` when it has grown past MAX_BYTES.

    In a testbed whose directory somebody removed there is none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        if file.exists() and file.stat().st_size > MAX_BYTES:
            file.rename(file.with_name(f"{file.name}.1"))

    def record(self, event: str, step: Step, problem: str = "") -> None:
        """Add a line; `event` is begin, done, failed, undone or stuck.

        On a full disk the line is lost: what it tells of, an undo perhaps, must go on.
        """
        line = {
            "time": round(time.time(), 3),
            "pid": os.getpid(),
            "event": event,
            "action": str(step.action),
            "kind": type(step.thing).__name__,
            "key": step.thing.key,
            "reason": step.reason,
            **({"problem": problem} if problem else {}),
        }
        with suppress(OSError), self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
