"""vct that gets signals at a chosen step, however busy the machine is. A program, not a test.

`python signalling.py KIND AFTER_S NUMBERS ARGUMENT…` runs `vct ARGUMENT…`. When its journal tells
that a step of this kind begins, a thread waits AFTER_S and sends the signals (`2,15`), the next one
each time 10 ms later; no step is recorded as ended before the first of them. tests.system.trouble
starts this. Without such a step the exit code is NEVER.
"""

from __future__ import annotations

import os
import sys
import time
from threading import Event, Thread

from vct.apply.journal import Journal
from vct.cli.main import main
from vct.plan.steps import Step

NEVER = 99
BETWEEN_S = 0.01


def arrange(kind: str, after_s: float, numbers: list[int]) -> Event:
    """Watch the journal; the event says that the step has begun."""
    begun, sent = Event(), Event()
    record = Journal.record

    def send() -> None:
        time.sleep(after_s)
        for number in numbers:
            os.kill(os.getpid(), number)
            sent.set()
            time.sleep(BETWEEN_S)

    def recording(self: Journal, event: str, step: Step, problem: str = "") -> None:
        if begun.is_set() and event != "begin":
            sent.wait()
        record(self, event, step, problem)
        if not begun.is_set() and (event, type(step.thing).__name__) == ("begin", kind):
            begun.set()
            Thread(target=send, daemon=True).start()

    Journal.record = recording  # type: ignore[method-assign]
    return begun


if __name__ == "__main__":
    kind, after_s, numbers, *words = sys.argv[1:]
    sys.argv[1:] = words
    begun = arrange(kind, float(after_s), [int(number) for number in numbers.split(",")])
    try:
        main()
    finally:
        if not begun.is_set():
            sys.exit(NEVER)
