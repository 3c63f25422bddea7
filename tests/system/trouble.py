"""Making trouble on purpose: signals at a chosen step of a verb, and waiting for the end of it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.conftest import Bed

PATIENCE_S = 30.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with what it was when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.001)


def journal(bed: Bed) -> Path:
    """The testbed's journal."""
    return bed.home / "testbeds" / bed.name / "journal.jsonl"


def lines_of(bed: Bed) -> list[dict[str, Any]]:
    """The journal's whole lines."""
    file = journal(bed)
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def signalled(
    bed: Bed, arguments: tuple[str, ...], kind: str, *numbers: signal.Signals, event: str = "begin"
) -> int:
    """Run vct until the journal tells of `event` of a thing of this kind, then send the signals.

    Returns the exit code. With no such line the process ends by itself, which is a failure here.
    """
    began = len(lines_of(bed))
    process = bed.start(*arguments)

    def reached() -> bool:
        return any((line["event"], line["kind"]) == (event, kind) for line in lines_of(bed)[began:])

    until(lambda: reached() or process.poll() is not None, f"{event} {kind}")
    assert process.poll() is None, f"vct {arguments} ended before {event} {kind}"
    for number in numbers:
        os.kill(process.pid, number)
        time.sleep(0.01)
    return int(process.wait(timeout=PATIENCE_S))


def steps_left(bed: Bed, *arguments: str) -> list[str]:
    """What a dry run of `init` or `cleanup` would do."""
    plan = bed.json("--dry-run", *arguments)
    return [f"{step['action']} {step['kind']} {step['key']}" for step in plan["steps"]]
