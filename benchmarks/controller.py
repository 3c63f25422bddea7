"""How fast the controller answers 8 clients, on both databases: rate, p95, the server's CPU.

A controller of its own on loopback, in a temporary directory, with a large testbed in its database.
Clients are threads of this process; they share the cores with the server, as a testbed's programs
do. The floor is the same server's redirect of `/api`, for which it asks no database.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from pathlib import Path
from statistics import quantiles

from benchmarks.controller_rows import NODES, SLICES, SLIVERS
from benchmarks.figures import Result
from benchmarks.machine import TICKS_PER_S
from tests.controller import postgresql
from tests.controller_slow.live import ADMIN, PASSWORD, Live, live
from vct.drivers.textfiles import read

POSTGRESQL = "postgresql"  # the name of Debian's package, too
CLIENTS = 8
PAGE = 50
ROUND_S = 5.0
WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of request; `ask` is given the number of the request and checks the answer."""

    name: str
    what: str
    ask: Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What CLIENTS clients got in one round."""

    per_s: float
    p95_ms: float
    cpu_ms: float  # of the server, for one answer: the figure that a busy machine changes least


def has_postgresql() -> bool:
    return postgresql.is_installed()


def measure(rounds: int, round_s: float = ROUND_S) -> list[Result]:
    """Three figures for each kind of request and each database."""
    found: list[Result] = []
    for database in ("sqlite", *((POSTGRESQL,) if has_postgresql() else ())):
        with _filled(database) as controller:
            _round(controller, _floor(controller), WARM_UP_S)  # the first requests import
            floor = [_round(controller, _floor(controller), round_s) for _ in range(rounds)]
            for case in _cases(controller):
                ours = [_round(controller, case, round_s) for _ in range(rounds)]
                found += _results(database, case, ours, floor)
    return found


def _results(database: str, case: Case, ours: list[Round], floor: list[Round]) -> Iterator[Result]:
    size = f"{NODES} nodes, {SLICES} slices, {SLIVERS} slivers"
    for figure, what, unit, of in (
        ("rate", "answers a second", "/s", attrgetter("per_s")),
        ("p95", "95 of 100 answers come within", "ms", attrgetter("p95_ms")),
        ("cpu", "the server's CPU for one answer", "ms", attrgetter("cpu_ms")),
    ):
        yield Result(
            name=f"{database} {case.name} {figure}",
            what=f"{case.what}, {CLIENTS} clients, {size} in {database}: {what}",
            unit=unit,
            runs=tuple(map(of, ours)),
            floor=tuple(map(of, floor)),
            floor_is="its redirect of /api, without a query",
        )


@contextmanager
def _filled(database: str) -> Iterator[Live]:
    with tempfile.TemporaryDirectory(prefix="vct-bench-") as directory:
        home = Path(directory)
        sockets = home / "sockets"
        is_postgresql = database == POSTGRESQL
        with postgresql.server(home, sockets, durable=True) if is_postgresql else nullcontext():
            url = f"postgresql://{postgresql.USER}@/postgres?host={sockets}"
            data = home / "data"
            data.mkdir()
            with live(data, database=url if is_postgresql else database) as controller:
                fill = [sys.executable, "-m", "benchmarks.controller_rows"]
                subprocess.run(fill, env=dict(controller.environment), check=True)
                yield controller


def _floor(controller: Live) -> Case:
    def ask(_number: int) -> None:
        assert controller.ask("GET", "/api").status == 301

    return Case(name="redirect", what="GET /api", ask=ask)


def _cases(controller: Live) -> list[Case]:
    """The requests of the issue; each goes round all nodes or slivers."""
    credentials = {"username": ADMIN, "password": PASSWORD}
    token = controller.ask("POST", "/api-token-auth/", credentials).content["token"]
    etags = {
        path: controller.ask("GET", path).headers["ETag"]
        for path in (f"/api/nodes/{node}/" for node in range(1, NODES + 1, NODES // 100))
    }
    known = list(etags)

    def page(number: int) -> None:
        path = f"/api/nodes/?per_page={PAGE}&page={number % (NODES // PAGE) + 1}"
        answer = controller.ask("GET", path)
        assert (answer.status, len(answer.content)) == (200, PAGE)

    def node(number: int) -> None:
        assert controller.ask("GET", f"/api/nodes/{number % NODES + 1}/").status == 200

    def sliver(number: int) -> None:
        assert controller.ask("GET", f"/api/slivers/{number % SLIVERS + 1}/").status == 200

    def unchanged(number: int) -> None:
        path = known[number % len(known)]
        assert controller.ask("GET", path, If_None_Match=etags[path]).status == 304

    def patch(number: int) -> None:
        path = f"/api/nodes/{number % NODES + 1}/"
        told = {"description": f"change {number}"}
        assert controller.ask("PATCH", path, told, Authorization=f"Token {token}").status == 200

    return [
        Case(name="node page", what=f"GET a page of {PAGE} nodes", ask=page),
        Case(name="node", what="GET one node", ask=node),
        Case(name="sliver", what="GET one sliver", ask=sliver),
        Case(name="node 304", what="GET one node that did not change", ask=unchanged),
        Case(name="node PATCH", what="PATCH the description of one node", ask=patch),
    ]


def _round(controller: Live, case: Case, round_s: float) -> Round:
    """Runs all clients for so long. Raises the first client's error."""
    numbers, took_s, failed = count(), list[float](), list[BaseException]()
    until = time.perf_counter() + round_s

    def client() -> None:
        try:
            while (begun := time.perf_counter()) < until and not failed:
                case.ask(next(numbers))
                took_s.append(time.perf_counter() - begun)
        except (AssertionError, OSError) as error:
            failed.append(error)

    begun, cpu_ms = time.perf_counter(), _cpu_ms(controller)
    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    if failed:
        raise failed[0]
    lasted_s = time.perf_counter() - begun
    return Round(
        per_s=len(took_s) / lasted_s,
        p95_ms=quantiles(took_s, n=20)[-1] * 1000,
        cpu_ms=(_cpu_ms(controller) - cpu_ms) / len(took_s),
    )


def _cpu_ms(controller: Live) -> float:
    """What the server's processes have used so far: user and system time of proc(5)."""
    children = read(Path(f"/proc/{controller.pid}/task/{controller.pid}/children"))
    fields = [
        read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split() for pid in children.split()
    ]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_PER_S * 1000
