"""The agent's process: one thread for cycles, here, and those of the API. init keeps it running.

CONT, HUP and the API's refresh begin a cycle at once, TERM and INT end the process after the
cycle that is under way.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from types import FrameType

from vct.agent.api import Api
from vct.agent.cycle import Agent, boot_mark
from vct.agent.log import Log, Words
from vct.agent.places import Places
from vct.agent.publish import Published
from vct.agent.reboot import reboot
from vct.agent.serve import PORTS, Doors

GAP_S = 0.2  # between two cycles, however often somebody wakes us
STACK_SIZE = 256 * 1024


class Wake:
    """A bell: whoever rings it, from a thread or a signal, ends the wait. Rings are not counted."""

    def __init__(self) -> None:
        self._reads, self.writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self.writes, False)

    def ring(self) -> None:
        try:
            os.write(self.writes, b"!")
        except BlockingIOError:  # it rings already
            return

    def wait(self, seconds: float) -> bool:
        """Whether it rang before that time was over."""
        rang = bool(select.select([self._reads], [], [], seconds)[0])
        if rang:
            os.read(self._reads, 65_536)
        return rang


class Stop:
    """Set by a signal."""

    def __init__(self) -> None:
        self.asked = False


def main(places: Places | None = None, ports: tuple[int, int] = PORTS) -> None:
    """Runs until it is told to end."""
    places, bell, stop = places or Places(), Wake(), Stop()
    threading.stack_size(STACK_SIZE)
    log, published = Log(places.log), Published()
    sys.stderr = Words(log)  # the last words of a fault of our own; init starts the agent again
    _listen_to_signals(bell, stop)
    doors = Doors(Api(published, bell.ring), places.firmware, ports)
    mark = boot_mark(places, lambda: os.urandom(8).hex())
    agent = Agent(places, published, log, reboot=reboot, boot_mark=mark, others=doors.open)
    while not stop.asked:
        agent.cycle()
        _pause(agent, bell, stop)
    log.write("ends, as it was told to")


def _pause(agent: Agent, bell: Wake, stop: Stop) -> None:
    """Until the next cycle is due. Whoever rings after failures is answered as after none."""
    began = time.monotonic()
    if bell.wait(agent.pause_s * _jitter(least=0.5 if agent.failures else 0.9)):
        agent.failures = 0
        early = began + GAP_S - time.monotonic()
        if early > 0 and not stop.asked:
            time.sleep(early)


def _jitter(least: float) -> float:
    """A factor from `least` to 1, so that nodes which lost the same controller come one by one."""
    return least + (1 - least) * int.from_bytes(os.urandom(2), "big") / 0xFFFF


def _listen_to_signals(bell: Wake, stop: Stop) -> None:
    """The bell is rung as a signal comes: a handler could run just too late, as the wait begins."""
    signal.set_wakeup_fd(bell.writes, warn_on_full_buffer=False)

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.asked = True

    for number in (signal.SIGCONT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
