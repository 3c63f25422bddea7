"""Updating nodes, and going back: another system beside the present one, booted once on trial.

A trial that is well is kept; else the node boots again what it had. Until it is kept the record on
the disk (vct.drivers.node_systems) says that the present system is the one to boot: so the next
start, be it after a reboot, a crash of vct or of the host, is of that one. Called by the command
line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from vct import names
from vct.apply.journal import Journal
from vct.apply.lock import locked
from vct.apply.loop import Progress, deferred, quiet
from vct.drivers.containers import ContainerDriver
from vct.drivers.node_systems import save_systems
from vct.drivers.registry import open_drivers
from vct.errors import InterruptedByUser, VctError, system_error
from vct.paths import Home, TestbedPaths
from vct.plan.steps import Action, Step
from vct.verbs.node_health import answers_ssh, patient, wait_until_well
from vct.verbs.node_update_plan import Choose, Update, plan_updates
from vct.verbs.record import require_applied
from vct.verbs.testbed import Prepared, last_seen, prepare

WORKERS = 4  # nodes on trial at a time
OLD_TIMEOUT_S = 30.0


class Outcome(StrEnum):
    """What became of a node's update."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FELL_BACK = "fell back"
    LEFT = "not begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A node after an update. `image` is what it has now, `was` what it had; `reason` says why it
    fell back or was not begun, `seen` what was last seen of the trial."""

    node: str
    outcome: Outcome
    image: str
    was: str
    reason: str = ""
    seen: str = ""


def plan_update(
    home: Home, paths: TestbedPaths, node_set: str, choose: Choose
) -> tuple[Update, ...]:
    """What `update` would do, in the order of nodes. Raises RefusedError for what cannot be."""
    with open_drivers(home, paths.name) as drivers:
        prepared = prepare(home, require_applied(paths).testbed, drivers)
    return plan_updates(paths, prepared, node_set, choose)


def update(
    home: Home,
    paths: TestbedPaths,
    node_set: str,
    choose: Choose,
    *,
    timeout_s: float,
    progress: Progress = quiet,
) -> list[Result]:
    """Try another system on the nodes of a set, a few at a time, in their order.

    After the first that falls back no other is begun. Raises LockedError at once when another vct
    works on the testbed, InterruptedByUser after Ctrl-C, when those on trial have fallen back.
    """
    with _at_work(home, paths) as prepared, deferred() as interrupted:
        updates = plan_updates(paths, prepared, node_set, choose)
        stop = threading.Event()
        bench = _Bench(paths, timeout_s, interrupted.is_set, progress)

        def one(job: Update) -> Result:
            if not job.changes:
                return _result(job, Outcome.UNCHANGED)
            if stop.is_set() or interrupted.is_set():
                return _result(job, Outcome.LEFT, "another node fell back before")
            result = bench.run(job)
            if result.outcome is Outcome.FELL_BACK:
                stop.set()
            return result

        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            results = list(pool.map(one, updates))
        if interrupted.is_set():
            raise _interrupted(results)
    return results


@contextmanager
def _at_work(home: Home, paths: TestbedPaths) -> Iterator[Prepared]:
    testbed = require_applied(paths).testbed
    with locked(paths.lock), open_drivers(home, paths.name) as drivers:
        yield prepare(home, testbed, drivers)


def _result(job: Update, outcome: Outcome, reason: str = "", seen: str = "") -> Result:
    new = outcome is Outcome.UPDATED
    return Result(
        node=job.node,
        outcome=outcome,
        image=job.new.image if new else job.now.image,
        was=job.now.image,
        reason=reason,
        seen=seen,
    )


def _interrupted(results: Sequence[Result]) -> InterruptedByUser:
    done = [result.node for result in results if result.outcome is Outcome.UPDATED]
    kept = f"updated: {names.render_node_set(done)}; " if done else ""
    return InterruptedByUser(
        f"interrupted; {kept}the others have the system that they had",
        hint="start again: vct node update",
    )


class _Bench:
    """Where nodes are tried, several at a time."""

    def __init__(
        self,
        paths: TestbedPaths,
        timeout_s: float,
        cancelled: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self._paths, self._timeout_s = paths, timeout_s
        self._cancelled, self._progress = cancelled, progress
        self._driver = ContainerDriver(paths)
        self._journal, self._recording = Journal(paths.journal), threading.Lock()

    def run(self, job: Update) -> Result:
        """Try a node's new system, and keep it or go back. Raises VctError when that fails too."""
        step = Step(action=Action.CHANGE, thing=job.new, was=job.now, reason="on trial")
        self._note("begin", step)
        try:
            save_systems(self._paths.node(job.node), job.trying)
        except OSError as error:
            raise system_error(error, f"beginning with node {job.node}") from error
        problem = self._tried(job)
        if not problem:
            self._note("done", step)
            return _result(job, Outcome.UPDATED)
        seen = last_seen(self._paths, job.node, problem)
        self._note("undo", step, problem)
        reason = "; ".join(part for part in (problem, self._go_back(job)) if part)
        self._note("undone", step)
        return _result(job, Outcome.FELL_BACK, reason, seen)

    def _tried(self, job: Update) -> str:
        """Boot the new system, and keep it if it is well. Returns why it is not; empty: it is.

        Of what keeps it the record comes first: from then on a reboot is of the new system.
        """
        try:
            self._driver.stop(job.node)
            self._driver.create(job.new)
            who = patient(self._paths, job.node)
            problem = wait_until_well(self._paths, who, self._timeout_s, self._cancelled)
            if not problem:
                save_systems(self._paths.node(job.node), job.trying.taken())
                self._driver.configure(replace(job.new, fallback=""))
        except OSError as error:
            return system_error(error, "trying it").message
        except VctError as error:
            return error.message
        return problem

    def _go_back(self, job: Update) -> str:
        """Boot the present system again, if it ran. The record says all the while that it is the
        one; that nothing is on trial is written when the trial has ended."""
        try:
            self._driver.stop(job.node)
            save_systems(self._paths.node(job.node), job.trying.given_up())
            self._driver.create(job.now)
        except OSError as error:
            raise system_error(error, f"going back on node {job.node}") from error
        if not job.now.running:
            return ""
        problem = answers_ssh(self._paths, job.node, OLD_TIMEOUT_S)
        return f"and with what it had, {problem}" if problem else ""

    def _note(self, event: str, step: Step, problem: str = "") -> None:
        with self._recording:
            self._journal.record("failed" if problem else event, step, problem)
        self._progress(event, step)
