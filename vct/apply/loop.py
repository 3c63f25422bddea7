"""Doing a plan: stage by stage through the drivers, journalled, undone when a step fails.

Knows drivers only as a table from kind of thing to driver. The first error is the one that is
raised; what could not be undone is attached to it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from vct.apply.journal import Journal
from vct.drivers.base import Driver, MakesMany
from vct.errors import InterruptedByUser, VctError, system_error
from vct.plan.outcome import Outcome
from vct.plan.steps import Action, Plan, Step
from vct.plan.things import KINDS, Thing

Drivers = Mapping[type[Thing], Driver[Any]]
Progress = Callable[[str, Step], None]
"""Called with an event (begin, done, undo) and its step, from any thread."""
MOST_TOGETHER = 64  # things made in one go, between two answers to Ctrl-C


def quiet(event: str, step: Step) -> None:
    """Progress that says nothing."""


def observe(drivers: Drivers) -> list[Thing]:
    """Everything that exists of a testbed, seen before anything is decided."""
    return [thing for kind in KINDS for thing in drivers[kind].observe()]


def run_plan(plan: Plan, drivers: Drivers, journal: Journal, progress: Progress = quiet) -> Outcome:
    """Do all steps; on the first failure undo what this run did, in reverse, and raise it.

    Raises RefusedError before the first change when something of somebody else's is in the way,
    InterruptedByUser after Ctrl-C.
    """
    begun = time.monotonic()
    for step in plan.steps:
        if step.action is Action.CREATE:
            drivers[step.kind].claim(step.thing)
    with deferred() as interrupted:
        run = _Run(drivers, journal, progress, interrupted)
        try:
            for stage in plan.stages():
                run.stage(stage)
            run.go_on()
        except BaseException as error:
            _attach(error, run.undo())
            raise
    return Outcome(done=plan.steps, seconds=time.monotonic() - begun)


class _Run:
    """The steps that this run has begun, in order."""

    def __init__(
        self,
        drivers: Drivers,
        journal: Journal,
        progress: Progress,
        interrupted: threading.Event,
    ) -> None:
        self._drivers, self._journal, self._progress = drivers, journal, progress
        self._interrupted = interrupted
        self._begun: list[Step] = []
        self._recording = threading.Lock()

    def stage(self, steps: tuple[Step, ...]) -> None:
        """Do steps of one kind and action, together or side by side if their driver allows it."""
        driver = self._drivers[steps[0].kind]
        if steps[0].action is Action.CREATE and isinstance(driver, MakesMany):
            for start in range(0, len(steps), MOST_TOGETHER):
                self._make(driver, steps[start : start + MOST_TOGETHER])
            return
        workers = min(driver.workers, len(steps))
        if workers == 1:
            for step in steps:
                self._do(step)
            return
        pool = ThreadPoolExecutor(max_workers=workers)
        try:
            futures: list[Future[None]] = [pool.submit(self._do, step) for step in steps]
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def go_on(self) -> None:
        """Raise InterruptedByUser if somebody asked to stop."""
        if self._interrupted.is_set():
            raise InterruptedByUser(
                "interrupted; what this run had done was undone", hint="start again: vct init"
            )

    def _do(self, step: Step) -> None:
        self.go_on()
        self._note("begin", step)
        try:
            perform(self._drivers[step.kind], step)
        except VctError as error:
            self._record("failed", step, error.message)
            raise
        self._note("done", step)

    def _make(self, driver: MakesMany[Any], steps: tuple[Step, ...]) -> None:
        """Make things together; if some fail, the first of them is the one that is told."""
        self.go_on()
        for step in steps:
            self._note("begin", step)
        try:
            problems = driver.create_many([step.thing for step in steps])
        except (OSError, VctError) as error:
            problems = {step.thing.key: error for step in steps}
        first: VctError | None = None
        for step in steps:
            problem = problems.get(step.thing.key)
            if problem is None:
                self._note("done", step)
                continue
            if isinstance(problem, OSError):
                problem = system_error(problem, f"{step.action} {step.thing}")
            self._record("failed", step, problem.message)
            first = first or problem
        if first is not None:
            raise first

    def undo(self) -> list[str]:
        """Take back what was begun, last first; returns what could not be taken back."""
        stuck = []
        for step in reversed(self._begun):
            inverse = step.inverse()
            if inverse is None:
                continue
            self._progress("undo", step)
            try:
                perform(self._drivers[step.kind], inverse)
                self._record("undone", step)
            except VctError as error:
                self._record("stuck", step, error.message)
                stuck.append(f"{step.thing}: {error}")
        return stuck

    def _note(self, event: str, step: Step) -> None:
        if event == "begin":
            with self._recording:
                self._begun.append(step)
        self._record(event, step)
        self._progress(event, step)

    def _record(self, event: str, step: Step, problem: str = "") -> None:
        with self._recording:
            self._journal.record(event, step, problem)


def perform(driver: Driver[Any], step: Step) -> None:
    """Do one step. Raises VctError, whatever it was that failed."""
    if step.implied:
        return
    try:
        match step.action:
            case Action.CREATE:
                driver.create(step.thing)
            case Action.CHANGE:
                driver.change(step.was, step.thing)
            case Action.DELETE:
                driver.delete(step.thing)
    except OSError as error:
        raise system_error(error, f"{step.action} {step.thing}") from error


def _attach(error: BaseException, stuck: list[str]) -> None:
    if stuck and isinstance(error, VctError):
        left = "\n".join(f"could not be undone: {line}" for line in stuck)
        error.hint = f"{error.hint}\n{left}\nremove the rest: vct cleanup".lstrip("\n")


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Ctrl-C and its like tear no step, and no undoing: they are noted, to be answered between
    steps. (An exception out of nowhere gets lost in libraries, and leaves things half-made.)

    Not SIG_IGN: programs that are started meanwhile, nodes even, would inherit that.
    """
    asked = threading.Event()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as with nohup
            signal.signal(number, lambda *_: asked.set())
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
