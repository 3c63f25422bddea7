"""The relay as the rest of vct sees it: is it there, what does it carry, start, change, stop.

Truth is the live process: it is asked over its control socket. The pid file only serves to stop a
process that does not answer, after /proc has confirmed that the number is still our relay's.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import vct
from vct.drivers import process
from vct.drivers.daemons import Daemon
from vct.drivers.relay_protocol import (
    LOG,
    PID_FILE,
    SOCKET,
    ProtocolError,
    RelayState,
    parse_state,
    render_request,
)
from vct.errors import HostError, VctError
from vct.paths import TestbedPaths
from vct.plan.things import Relay

MODULE = "vct.drivers.relay_process"
START_DEADLINE_S = 10.0
ANSWER_DEADLINE_S = 2.0
LAST_WORDS = 5


class RelayDriver:
    """Runs one testbed's relay process."""

    kind = Relay
    workers = 1

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths

    @property
    def log(self) -> Path:
        """Where the relay writes what it could not attach to."""
        return self._paths.run / LOG

    def state(self) -> RelayState | None:
        """What the live relay says of itself, with counters; None if there is none."""
        return self._ask(render_request("state"))

    def observe(self) -> list[Relay]:
        """The relay with the links that are attached at both ends."""
        state = self.state()
        if state is None:
            return []
        links = tuple(seen.link for seen in state.links if not seen.trouble)
        return [Relay(testbed=state.testbed, links=links)]

    def claim(self, thing: Relay) -> None:
        """Nothing can be in the way: the run directory is the testbed's own."""

    def create(self, thing: Relay) -> None:
        self.delete(thing)  # one that does not answer, and files of one that crashed
        self._paths.run.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-S", "-m", MODULE, self._paths.name, str(self._paths.run)]
        # Without site-packages: the relay needs none, and starts in half the time.
        place = {"PYTHONPATH": str(Path(vct.__file__).parent.parent)}
        process.run(argv, env=place, timeout_s=START_DEADLINE_S)
        self._set(thing)

    def change(self, was: Relay, thing: Relay) -> None:
        """Links that stay as they are do not notice."""
        self._set(thing)

    def delete(self, thing: Relay) -> None:
        pid = self._pid()
        if pid is not None:
            daemon_of(self._paths).end(pid)
        for name in (SOCKET, PID_FILE, LOG):
            (self._paths.run / name).unlink(missing_ok=True)

    def _set(self, thing: Relay) -> None:
        state = self._ask(render_request("set", thing.links))
        if state is None:
            raise VctError("the relay is gone", hint=f"{self._last_words()}run: vct init")
        loose = [seen for seen in state.links if seen.trouble]
        if loose:
            raise VctError(
                f"the relay cannot carry {len(loose)} of {len(state.links)} links; "
                f"link {loose[0].link.link}: {loose[0].trouble}",
                hint="something removed its interface or holds it open; run: vct init",
            )

    def _ask(self, request: bytes) -> RelayState | None:
        """The relay's answer, None if nobody answers in time."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_DEADLINE_S)
                connection.connect(str(self._paths.run / SOCKET))
                connection.sendall(request)
                with connection.makefile("rb") as answer:
                    line = answer.readline()
        except PermissionError:
            raise HostError("looking at the relay needs root", hint="run it with sudo") from None
        except OSError:
            return None
        if not line.endswith(b"\n"):
            return None
        try:
            return parse_state(line)
        except ProtocolError as error:
            raise VctError(
                f"the relay of {self._paths.name} does not understand: {error}",
                hint="it may be of another version of vct; run: vct cleanup, then vct init",
            ) from None

    def _pid(self) -> int | None:
        """The relay's process, by its own word, else by its pid file, else by its command line:
        it may have lost its directory."""
        with contextlib.suppress(VctError):
            if (state := self.state()) is not None:
                return state.pid
        try:
            return int((self._paths.run / PID_FILE).read_text())
        except (FileNotFoundError, ValueError):
            return daemon_of(self._paths).find()

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-LAST_WORDS:]
        except FileNotFoundError:
            return ""
        return "".join(f"{line}\n" for line in lines)


def daemon_of(paths: TestbedPaths) -> Daemon:
    """The relay of this testbed among the processes."""
    words = {MODULE, str(paths.run)}
    return Daemon(what=f"the relay of {paths.name}", is_its=words.issubset)
