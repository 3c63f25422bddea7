"""Benchmarks of namespaces and links: vct's drivers beside Mininet and beside iproute2.

100 namespaces, then 180 links among them. vct and Mininet give each end of a link an IPv4 address
and set it up, vct also a MAC address and its mark; iproute2's are bare pairs: the least there is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.bed import Bed, new_bed
from benchmarks.figures import Result
from benchmarks.machine import settle
from benchmarks.topologies import chords, mesh, node_ids
from vct import names
from vct.apply.journal import Journal
from vct.apply.loop import Drivers, run_plan
from vct.drivers import netns, process
from vct.drivers.host import ensure_home
from vct.drivers.network import Network
from vct.drivers.registry import open_drivers
from vct.model.testbed import Testbed
from vct.plan.steps import Plan, Step
from vct.plan.things import Fabric, NodeNetwork, Thing, Wire
from vct.verbs.record import claim_directory
from vct.verbs.testbed import prepare

NODES, LINKS = 100, 180
MININET = "mininet"
LIMIT_S = 300
FLOORS = {
    "mininet": "Mininet's Node and Link, with addresses",
    "iproute2": "one ip -batch, bare veth pairs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds for all namespaces, and for all links."""

    namespaces: float
    links: float


def has_mininet() -> bool:
    """Whether Mininet's package is installed."""
    return process.run(["dpkg", "--status", MININET], check=False).code == 0


def measure(rounds: int, *, mininet: bool) -> list[Result]:
    """The figures, in turns; those beside Mininet only if it is there."""
    ours: list[Times] = []
    floors: dict[str, list[Times]] = {floor: [] for floor in FLOORS}
    with new_bed() as bed:
        testbed = bed.load(mesh(bed.name, NODES, LINKS))
        for _ in range(rounds):
            ours.append(_ours(bed, testbed))
            floors["iproute2"].append(_iproute2(bed.name))
            if mininet:
                floors["mininet"].append(_mininet(bed.name))
    return [
        result for floor, times in floors.items() if times for result in _pair(floor, ours, times)
    ]


def _pair(floor: str, ours: Sequence[Times], times: Sequence[Times]) -> list[Result]:
    def result(figure: str, what: str) -> Result:
        return Result(
            name=f"{figure} / {floor}",
            what=what,
            unit="s",
            runs=tuple(float(getattr(each, figure)) for each in ours),
            floor=tuple(float(getattr(each, figure)) for each in times),
            floor_is=FLOORS[floor],
        )

    return [
        result("namespaces", f"{NODES} namespaces, marked, loopback up"),
        result("links", f"{LINKS} links among them, by vct's drivers"),
    ]


# --- vct -----------------------------------------------------------------------------------------


def _ours(bed: Bed, testbed: Testbed) -> Times:
    ensure_home(bed.home)
    claim_directory(bed.paths)
    settle()
    try:
        with open_drivers(bed.home, testbed.name) as drivers:
            steps = prepare(bed.home, testbed, drivers).plan.steps
            _do(bed, drivers, steps, Fabric)
            mark = Network(bed.home.root, testbed.name).mark
            spaces = [s.thing.namespace for s in steps if isinstance(s.thing, NodeNetwork)]
            begun = time.perf_counter()
            netns.make_namespaces(spaces, mark)
            namespaces = time.perf_counter() - begun
            begun = time.perf_counter()
            _do(bed, drivers, steps, Wire)
            return Times(namespaces=namespaces, links=time.perf_counter() - begun)
    finally:
        bed.vct("cleanup", "--flush")


def _do(bed: Bed, drivers: Drivers, steps: Sequence[Step], kind: type[Thing]) -> None:
    chosen = tuple(step for step in steps if step.kind is kind)
    run_plan(Plan(chosen), drivers, Journal(bed.paths.journal))


# --- floors --------------------------------------------------------------------------------------


def _iproute2(token: str) -> Times:
    hosts = {node: f"{token}-{node}" for node in node_ids(NODES)}
    settle()
    try:
        namespaces = _batch([f"netns add {host}" for host in hosts.values()])
        links = _batch(render_pairs(hosts))
    finally:
        _batch([f"netns del {host}" for host in hosts.values()])
    return Times(namespaces=namespaces, links=links)


def render_pairs(hosts: Mapping[str, str]) -> list[str]:
    """iproute2's commands for LINKS veth pairs; `hosts` are namespaces by node."""
    pairs = islice(chords(len(hosts)), LINKS)
    return [
        f"link add name e{number}a netns {hosts[a]} type veth peer name e{number}b netns {hosts[b]}"
        for number, (a, b) in enumerate(pairs)
    ]


def _batch(commands: Sequence[str]) -> float:
    begun = time.perf_counter()
    process.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", timeout_s=LIMIT_S)
    return time.perf_counter() - begun


def _mininet(token: str) -> Times:
    """In a process of its own: Mininet forks the interpreter that it runs in for every host."""
    addresses = {node: str(names.link_ipv4(node)) for node in node_ids(NODES)}
    wanted = {
        "prefix": token[:4],
        "addresses": addresses,
        "pairs": list(islice(chords(NODES), LINKS)),
    }
    settle()
    command = [sys.executable, "-m", "benchmarks.mininet_hosts"]
    done = process.run(command, input=json.dumps(wanted), timeout_s=LIMIT_S)
    return Times(**json.loads(done.stdout))
