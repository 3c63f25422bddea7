"""Verbs for a testbed's controller: where it is, whether it works, who may log in, its data.

What only the controller's own program can do is done by it, inside its container
(`vct-controller COMMAND`, answers are JSON). Called by the command line and by vct.testing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vct import names
from vct.apply.journal import Journal
from vct.apply.lock import locked
from vct.apply.loop import Progress, quiet, run_plan
from vct.drivers import controller_api
from vct.drivers.controller import ControllerDriver, attach_command
from vct.drivers.controller_api import Api, ControllerError
from vct.drivers.process import CommandError, foreground, run
from vct.drivers.registry import open_drivers
from vct.drivers.textfiles import read, write
from vct.errors import InterruptedByUser, NotReadyError, RefusedError, VctError
from vct.model.testbed import Node, Testbed
from vct.paths import Home, TestbedPaths
from vct.plan.steps import Action, Plan, Step
from vct.plan.things import Controller, ControllerFiles
from vct.verbs import registration, testbed
from vct.verbs.enrolment import Enrolled, Place, enrol
from vct.verbs.record import Applied, require_applied

ADMINISTRATOR = "vct"
COMMAND = "vct-controller"
TAIL_LINES = 12
ASK_AGAIN_S = 0.1
LOG = "/var/log/vct-controller/service.log"
ATTACHED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The first administrator. `password` is empty when it is not known any more."""

    username: str
    password: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What `init` did: where the controller is, what it was told, and an account made for it.
    `states` are those of nodes as it last heard."""

    url: str
    told: tuple[str, ...]
    made: Credentials | None
    credentials: Path
    enrolled: Enrolled
    states: Mapping[str, str]


def url_of(applied: Applied) -> str:
    """Where the host's browser finds the controller."""
    return names.controller_url(applied.numbers.uplink)


def require_controller(paths: TestbedPaths, *, running: bool = True) -> Applied:
    """The testbed's record. Raises RefusedError when it has no controller, or that is down."""
    applied = require_applied(paths)
    if applied.testbed.controller is None:
        raise RefusedError(
            f"testbed {paths.name} has no controller",
            hint="write controller: {} in its file, then: vct init FILE",
        )
    if running and ControllerDriver(paths).state()[0] != "RUNNING":
        raise RefusedError("the controller is not running", hint="start it: vct init")
    return applied


# --- ready ---------------------------------------------------------------------------------------


def wait_ready(paths: TestbedPaths, timeout_s: float) -> None:
    """Wait until the controller says that it is well. Raises NotReadyError with what was seen."""
    url = url_of(require_controller(paths, running=False))
    deadline = time.monotonic() + timeout_s
    try:
        while what := controller_api.health(url):
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"the controller is not ready after {timeout_s:g} s: {what}",
                    seen={"controller": last_seen(paths, what)},
                    hint="look at it: vct controller log",
                )
            time.sleep(ASK_AGAIN_S)
    except KeyboardInterrupt:
        raise InterruptedByUser(
            "interrupted while waiting for the controller; it goes on starting",
            hint="look: vct controller status\nstop it: vct cleanup",
        ) from None


def last_seen(paths: TestbedPaths, what: str) -> str:
    """What can be seen of a controller that does not answer: state, its logs' ends."""
    state, _ = ControllerDriver(paths).state()
    console = read(paths.controller.console_log).splitlines()[-TAIL_LINES:]
    lines = [f"health: {what}; container: {state}", "console:", *(f"  {line}" for line in console)]
    if state == "RUNNING":
        log = run(attach_command(paths, log_command(TAIL_LINES)), check=False, timeout_s=5)
        lines += ["log:", *(f"  {line}" for line in log.stdout.splitlines())]
    return "\n".join(lines)


def log_command(lines: int, *, follow: bool = False) -> list[str]:
    """What shows the service's log, run inside."""
    return ["tail", f"--lines={lines}", *(["--follow=name", "--retry"] if follow else []), LOG]


def status(home: Home, paths: TestbedPaths) -> dict[str, Any]:
    """As in the testbed's status, with the room left on its disk (MiB, None if it is not known),
    and where the first administrator's password is."""
    require_controller(paths, running=False)
    found = testbed.status(home, paths).controller
    assert found is not None  # noqa: S101 - there is one
    return asdict(found) | {
        "disk_free_mib": _free_mib(paths) if found.state in ("ready", "starting") else None,
        "credentials": str(paths.controller.credentials),
    }


def _free_mib(paths: TestbedPaths) -> int | None:
    asked = ["df", "--output=avail", "--block-size=1M", "/var/lib/vct-controller"]
    done = run(attach_command(paths, asked), check=False, timeout_s=10)
    words = done.stdout.split()
    return int(words[-1]) if words and words[-1].isdigit() else None


# --- accounts ------------------------------------------------------------------------------------


def tell(paths: TestbedPaths, *words: str) -> Any:
    """Run one of the controller's own commands; what it answers. Raises VctError."""
    try:
        done = run(attach_command(paths, [COMMAND, *words]), timeout_s=ATTACHED_S)
    except CommandError as error:
        said = error.completed.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise VctError(
            f"the controller refused: {said[0].removeprefix('CommandError: ')}",
            hint=f"replay it with: vct controller shell -- {COMMAND} {' '.join(words)}",
        ) from error
    return json.loads(done.stdout) if done.stdout.strip() else None


def load_credentials(paths: TestbedPaths) -> Credentials | None:
    """What was kept of the first administrator."""
    try:
        return Credentials(**json.loads(read(paths.controller.credentials)))
    except (ValueError, TypeError):
        return None


def save_credentials(paths: TestbedPaths, known: Credentials) -> None:
    """For root only."""
    write(paths.controller.credentials, json.dumps(asdict(known), indent=2) + "\n", mode=0o600)


def ensure_account(paths: TestbedPaths) -> tuple[Credentials, bool]:
    """The first administrator with a token that works, and whether it was made now."""
    known = load_credentials(paths)
    if known is not None:
        return known, False
    told = tell(paths, "account", "first", ADMINISTRATOR)
    known = Credentials(username=ADMINISTRATOR, password=told["password"], token=str(told["token"]))
    save_credentials(paths, known)
    return known, bool(known.password)


def register(
    home: Home,
    paths: TestbedPaths,
    on_change: Callable[[str], None] = lambda _words: None,
    *,
    nodes: Collection[str] | None = None,
    renew: Collection[str] = (),
) -> Registered:
    """Tell a controller that is ready what its testbed is, and enrol all its nodes or some, those
    in `renew` with new keys; a second time there is nothing to do."""
    applied = require_controller(paths)
    testbed = applied.testbed

    def tell_all(token: str) -> tuple[list[str], registration.Registry, Enrolled]:
        api = Api(base=url_of(applied), token=token)
        templates = registration.wanted_templates(home, testbed)
        told, registry = registration.register(api, testbed, applied.numbers, templates, on_change)
        place = Place(home=home, paths=paths, testbed=testbed, api=api)
        chosen = _with_gateways(testbed, nodes)
        return told, registry, enrol(place, registry, chosen, renew=renew, on_change=on_change)

    with locked(paths.lock):
        known, made = ensure_account(paths)
        try:
            told, registry, enrolled = tell_all(known.token)
        except ControllerError as error:
            if error.status != 403:
                raise
            # Another database, as after a restore: it does not know the token.
            paths.controller.credentials.unlink(missing_ok=True)
            known, made = ensure_account(paths)
            told, registry, enrolled = tell_all(known.token)
    return Registered(
        url=url_of(applied),
        told=(*told, *enrolled.told),
        made=known if made else None,
        credentials=paths.controller.credentials,
        enrolled=enrolled,
        states=registry.states,
    )


def _with_gateways(testbed: Testbed, nodes: Collection[str] | None) -> list[Node]:
    """All nodes, or these and their gateways, which have to know them."""
    if nodes is None:
        return list(testbed.nodes)
    more = {node.gateway for node in testbed.nodes if node.id in nodes}
    return [node for node in testbed.nodes if node.id in more.union(nodes)]


def base_resource(paths: TestbedPaths) -> tuple[str, int]:
    """The API's base as anybody sees it: its URI, and how many link relations it names."""
    answer = Api(base=url_of(require_controller(paths))).ask("GET", "/api/")
    if answer.status != 200:
        raise ControllerError("GET /api/", f"HTTP {answer.status}", status=answer.status)
    return str(answer.document["uri"]), answer.headers.get("Link", "").count("rel=")


def new_password(paths: TestbedPaths, username: str) -> dict[str, Any]:
    """Give a user another password; the administrator's is kept as `init` did."""
    require_controller(paths)
    answer: dict[str, Any] = tell(paths, "account", "password", username)
    known = load_credentials(paths)
    if known is not None and known.username == username:
        token = known.token
        save_credentials(
            paths, Credentials(username=username, password=answer["password"], token=token)
        )
    return answer


def enter(paths: TestbedPaths, command: Sequence[str]) -> int:
    """Run a command, or a root shell, inside on this terminal; returns its exit code."""
    require_controller(paths)
    return foreground(attach_command(paths, list(command) or ["sh", "-l"]))


# --- reset ---------------------------------------------------------------------------------------


def reset(home: Home, paths: TestbedPaths, progress: Progress = quiet) -> None:
    """Remove the controller with all its data; `init` makes a new one."""
    require_controller(paths, running=False)
    with locked(paths.lock), open_drivers(home, paths.name) as drivers:
        steps = tuple(
            Step(action=Action.DELETE, thing=thing, reason="reset asked for")
            for kind in (Controller, ControllerFiles)
            for thing in drivers[kind].observe()
        )
        run_plan(Plan(steps), drivers, Journal(paths.journal), progress)
