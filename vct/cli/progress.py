"""Progress of a plan: one live line on a terminal, plain lines elsewhere, nothing when it is quick.

Called from several threads; rich takes care of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from vct.cli.session import Session

if TYPE_CHECKING:
    from rich.status import Status

    from vct.plan.steps import Step

QUIET_S = 2.0  # what is over sooner needs no progress


class StepProgress:
    """Shows steps as they begin, once the whole has taken longer than QUIET_S."""

    def __init__(self, here: Session) -> None:
        self._here = here
        self._began = time.monotonic()
        self._last_line = 0.0
        self._undoing = False
        self._status: Status | None = None
        self._waiting_for, self._answered, self._what = 0, 0, "ready"

    def __enter__(self) -> StepProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def step(self, event: str, step: Step) -> None:
        """A step began, was done or is being undone."""
        if event == "undo" and not self._undoing:
            self._undoing = True
            self._here.say("undoing what was done")
        if event in ("begin", "undo"):
            words = f"{step.action} {step.thing}"
            self._show(lambda: words if event == "begin" else f"undo: {words}")

    def waiting(self, count: int, what: str = "ready") -> None:
        """From now on nodes are waited for."""
        self._waiting_for, self._answered, self._what = count, 0, what

    def ready(self, node: str) -> None:
        """A node answered."""
        self._answered += 1
        self._show(
            lambda: f"{self._answered} of {self._waiting_for} nodes {self._what}, last {node}"
        )

    def saying(self, words: str) -> None:
        """Something goes on that is no step of a plan."""
        self._show(lambda: words)

    def _show(self, words: Callable[[], str]) -> None:
        now = time.monotonic()
        if now - self._began < QUIET_S:
            return
        if self._here.err.is_terminal:
            if self._status is None:
                self._status = self._here.err.status("")
                self._status.start()
            self._status.update(words())
        elif now - self._last_line > QUIET_S:
            self._here.say(words())
        self._last_line = now
