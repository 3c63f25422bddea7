"""Benchmarks of whole testbeds: init, init again, status, cleanup, in turns with the bare loop.

When all nodes run is read from the testbed's journal, so one init gives both of its figures.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks import bare, machine
from benchmarks.bed import Bed, new_bed
from benchmarks.figures import Result, Target, median_run
from benchmarks.topologies import mesh, ring
from vct.drivers import process
from vct.drivers.textfiles import read

LOADED = "import vct.cli.main, vct.verbs.testbed"
RUNNING_RATIO = 1.5
STARTING = "create Container"
BARE_START = "xargs with 4 x lxc-start, all else prepared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A testbed to measure: how many nodes and links, and the targets of its commands, seconds."""

    name: str
    nodes: int
    links: int
    rounds: int = 5
    targets: Mapping[str, float] = field(default_factory=dict)

    def text(self, testbed: str) -> str:
        return mesh(testbed, self.nodes, self.links)


SIZES = (
    Size(name="nodes-4", nodes=4, links=4),
    Size(name="nodes-20", nodes=20, links=20),
    Size(
        name="nodes-50",
        nodes=50,
        links=50,
        targets={"ready": 4, "again": 1, "cleanup": 3},
    ),
    Size(name="mesh-100", nodes=100, links=180, rounds=3, targets={"ready": 8}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of vct's commands, seconds each; the parts are those of init."""

    running: float
    start: float
    ready: float
    again: float
    status: float
    cleanup: float
    loaded: float
    parts: Mapping[str, float]


def measure(size: Size, rounds: int) -> list[Result]:
    """The figures of one size, from so many rounds of bare loop and vct in turns."""
    with new_bed() as bed:
        # Not counted: it brings the image into the page cache and makes loop devices.
        bare.bare_loop(bed, bed.load(ring(bed.name, 4)))
        testbed = bed.load(size.text(bed.name))
        floors, ours = [], []
        for _ in range(rounds):
            floors.append(bare.bare_loop(bed, testbed))
            ours.append(_round(bed, size))
    return _results(size, floors, ours)


def _round(bed: Bed, size: Size) -> Round:
    file = str(bed.file(size.text(bed.name)))
    machine.settle()
    begun_at, begun, busy = time.time(), time.perf_counter(), machine.busy_s()
    bed.vct("init", file)
    ready, busy = time.perf_counter() - begun, machine.busy_s() - busy
    running, parts = parse_journal(read(bed.paths.journal), begun_at, ready)
    return Round(
        running=running,
        start=parts[STARTING],
        ready=ready,
        again=bed.timed("init", file),
        status=bed.timed("status", "--json"),
        cleanup=bed.timed("cleanup", "--flush"),
        loaded=time_python(LOADED),
        parts={**parts, "(CPU of all cores)": busy},
    )


def parse_journal(journal: str, begun: float, total: float) -> tuple[float, dict[str, float]]:
    """From the journal of an init that began at `begun` (seconds since 1970) and took `total`
    seconds: the seconds until the last container ran, and those of each stage."""
    stages: dict[str, list[float]] = {}
    for line in journal.splitlines():
        entry = json.loads(line)
        stages.setdefault(f"{entry['action']} {entry['kind']}", []).append(entry["time"])
    first = min(times[0] for times in stages.values())
    running = stages[STARTING][-1] - begun
    parts = {"load, observe, plan": first - begun}
    # From the first step's begin to the last one's end.
    parts |= {stage: times[-1] - times[0] for stage, times in stages.items()}
    parts["wait for sshd"] = total - running
    return running, parts


def time_python(statement: str) -> float:
    """The seconds that a fresh interpreter takes for a statement, with its start and end."""
    begun = time.perf_counter()
    process.run([sys.executable, "-c", statement])
    return time.perf_counter() - begun


def _results(size: Size, floors: Sequence[bare.BareTimes], ours: Sequence[Round]) -> list[Result]:
    def result(figure: str, what: str, floor: Sequence[float], floor_is: str) -> Result:
        runs = tuple(float(getattr(each, figure)) for each in ours)
        limit = size.targets.get(figure)
        return Result(
            name=f"{size.name} {figure}",
            what=f"{what}, {size.nodes} nodes, {size.links} links",
            unit="s",
            runs=runs,
            floor=tuple(floor),
            floor_is=floor_is,
            target=None if limit is None else Target(limit=limit),
            parts=ours[median_run(runs)].parts if figure == "ready" else {},
        )

    bare_running = [floor.running for floor in floors]
    loaded = [each.loaded for each in ours]
    interpreter = "a Python that imports what the command needs"
    running = result(
        "running",
        "vct init of a new testbed, until all containers run",
        bare_running,
        BARE_START,
    )
    return [
        replace(running, target=Target(limit=RUNNING_RATIO, of="ratio")),
        result("start", "of that, the starting of containers alone", bare_running, BARE_START),
        result(
            "ready",
            "vct init of a new testbed, until every sshd greets and vct has ended",
            [floor.ready for floor in floors],
            "the bare loop's nodes, until every sshd greets",
        ),
        result("again", "vct init with nothing to do", loaded, interpreter),
        result("status", "vct status --json", loaded, interpreter),
        result(
            "cleanup",
            "vct cleanup --flush",
            [floor.stopped for floor in floors],
            "xargs with 4 x lxc-stop",
        ),
    ]
