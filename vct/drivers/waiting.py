"""Waiting for a condition with a deadline: never for luck, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from vct.errors import VctError


def wait_for(
    condition: Callable[[], bool],
    *,
    what: str,
    hint: str,
    timeout_s: float = 10.0,
    every_s: float = 0.01,
) -> None:
    """Wait until the condition holds. Raises VctError "gave up waiting for <what>"."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise VctError(f"gave up waiting for {what} after {timeout_s:g} s", hint=hint)
        time.sleep(every_s)
