"""What is done without being asked: by the service, or by `python -m vct.controller work`.

It polls nodes and tells them of new orders, removes what interrupted uploads left, deletes slices
that have ended and says which will end soon. Times are measured by a clock that never jumps; what
others wrote with one that did is put right, and nothing is deleted on the word of a clock that has
just been changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

from django.db import DatabaseError, connections

from vct.controller.files import store
from vct.controller.firmware import builder
from vct.controller.mgmt import writer
from vct.controller.slices import verbs
from vct.controller.state import life, poller
from vct.controller.state.rounds import Rounds

LOG = logging.getLogger(__name__)
TICK_S = 0.25  # what somebody does must be felt within a second
FIRMWARE_S = 1.0
MESH_S = 30.0  # what a full disk or a deleted owner prevented
SWEEP_S = 3600.0
EXPIRY_S = 3600.0
WARNING_S = 86_400.0
CLOCK_SLACK_S = 5.0
STEADY_S = 3600.0  # so long after a jump a clock is believed again


@dataclass
class Clock:
    """Notices when the time of day moves otherwise than time does. Sleep of the host is a jump."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    jumped_at: float = field(init=False)
    offset: float = field(init=False)

    def __post_init__(self) -> None:
        self.jumped_at = self.steady()
        self.offset = self.wall() - self.steady()

    def jump_s(self) -> float:
        """By how much it jumped since this was asked last; 0 for what clocks drift."""
        offset = self.wall() - self.steady()
        jump, self.offset = offset - self.offset, offset
        if abs(jump) < CLOCK_SLACK_S:
            return 0.0
        self.jumped_at = self.steady()
        return jump

    def is_believed(self) -> bool:
        """Also a fresh one is not: it may still be set."""
        return self.steady() - self.jumped_at >= STEADY_S


@dataclass
class Job:
    """Something to do every so often; `at` is when next, in the steady clock's seconds."""

    name: str
    every_s: float
    do: Callable[[], object]
    at: float = float("-inf")


@dataclass
class Worker:
    """Runs its jobs one after the other. A job that fails is tried again.

    When `stopping` says so, what takes long ends early and no other job begins.
    """

    clock: Clock = field(default_factory=Clock)
    stopping: Callable[[], bool] = lambda: False
    jobs: list[Job] = field(init=False)

    def __post_init__(self) -> None:
        rounds = Rounds(self.stopping)
        self.jobs = [
            Job("beat", life.EVERY_S, life.beat),
            Job("poll", poller.poll_interval_s(), rounds.everybody),
            Job("prompt", TICK_S, rounds.prompt),
            Job("mesh", MESH_S, writer.refresh),
            Job("firmware", FIRMWARE_S, builder.build_wanted),
            Job("sweep", SWEEP_S, store.sweep),
            Job("sweep firmware", SWEEP_S, builder.sweep),
            Job("expiry", EXPIRY_S, self.delete_ended),
            Job("warning", WARNING_S, warn),
        ]

    def run(self, stop: Event) -> None:
        """Until `stop` is set."""
        LOG.info("working: nodes are asked every %g s", poller.poll_interval_s())
        while not stop.is_set():
            self.tick()
            stop.wait(TICK_S)
        LOG.info("stopped")

    def tick(self) -> None:
        """Does what is due."""
        if jump := self.clock.jump_s():
            LOG.warning("the clock jumped by %.0f s", jump)
            self._attempt(Job("clock", 0, lambda: poller.shift_times(timedelta(seconds=jump))))
        for job in self.jobs:
            now = self.clock.steady()
            if job.at <= now and not self.stopping():
                job.at = now + job.every_s
                self._attempt(job)

    def delete_ended(self) -> None:
        """Slices whose time is over, unless the date is in doubt."""
        if not self.clock.is_believed():
            return
        for name in verbs.delete_ended():
            LOG.info("slice %s has ended and was deleted", name)

    def _attempt(self, job: Job) -> None:
        try:
            job.do()
        except (DatabaseError, OSError) as error:
            LOG.warning("%s: %s: tried again in %g s", job.name, error, job.every_s)
            connections.close_all()  # kept otherwise: a new one for each tick is what costs most


def warn() -> None:
    """Who should be told goes to the log: mail is not sent from a testbed."""
    for one in verbs.ending_soon():
        LOG.info("slice %s of group %s ends on %s", one.name, one.group.name, one.expires_on)
