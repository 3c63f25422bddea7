"""What it costs nodes to belong to a testbed: with a controller, firmware, tinc and an agent each.

The floor of `init` is the same nodes without a controller, as they are when sshd greets. The agents
are then left alone, and at last told to be something else: by the registry's API, as people do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import idle
from benchmarks.bed import Bed, new_bed
from benchmarks.figures import Result, Target
from benchmarks.machine import TICKS_PER_S, settle
from benchmarks.topologies import node_ids, ring
from vct import names
from vct.drivers import node_keys, node_probe
from vct.drivers.container_config import cgroup_of
from vct.drivers.controller_api import Api
from vct.drivers.guest import hierarchies
from vct.drivers.host import ensure_home
from vct.drivers.textfiles import read
from vct.errors import VctError

NODES = 50
REST_S = 60.0
CHANGES = 20
LIMIT_S = 30.0
PRODUCTION_RATIO, AGENT_MB, AGENT_CPU_PERCENT, CHANGE_S = 2, 15, 0.2, 2
AGENT = "/usr/share/vct/agent.py"
CPU_FIELDS = slice(11, 13)  # utime and stime of /proc/PID/stat behind the name (proc(5))


def measure(rounds: int, rest_s: float = REST_S, changes: int = CHANGES) -> list[Result]:
    """The figures of NODES nodes in a ring."""
    with new_bed() as bed:
        plain = ring(bed.name, NODES)
        belonging = json.dumps({**json.loads(plain), "controller": {}})
        _two_inits(bed, belonging)  # not counted: page cache, loop devices
        floors, ours = [], []
        for _ in range(rounds):
            floors.append(_two_inits(bed, plain))
            ours.append(_two_inits(bed, belonging))
        agents = _agents(bed)
        time.sleep(rest_s / 4)  # what they did in the beginning is over
        before = [_cpu_s(pid) for pid in agents]
        time.sleep(rest_s)
        shares = [(_cpu_s(pid) - old) / rest_s for pid, old in zip(agents, before, strict=True)]
        memory = [idle.pss(pid) / idle.MB for pid in agents]
        latencies = _changes_s(bed, changes)
    return [
        *_inits(ours, floors),
        Result(
            name="agent pss",
            what=f"memory of a node's agent, its share of what is shared; {NODES} nodes",
            unit="MB",
            runs=tuple(memory),
            target=Target(limit=AGENT_MB),
        ),
        Result(
            name="agent cpu",
            what=f"CPU of an idle node's agent in per cent of a core, over {rest_s:g} s",
            unit="%",
            runs=tuple(100 * share for share in shares),
            target=Target(limit=AGENT_CPU_PERCENT),
        ),
        Result(
            name="agent change",
            what="from PATCH of a set state in the registry until the node publishes its new state",
            unit="s",
            runs=tuple(latencies),
            target=Target(limit=CHANGE_S),
        ),
    ]


def _inits(
    ours: Sequence[tuple[float, float]], floors: Sequence[tuple[float, float]]
) -> list[Result]:
    said = f"{NODES} nodes, a controller"
    floor_is = "the same nodes without a controller, until every sshd greets"
    return [
        Result(
            name=f"belonging-{NODES} production",
            what=f"vct init of a new testbed, until every node is in production, {said}",
            unit="s",
            runs=tuple(first for first, _ in ours),
            floor=tuple(first for first, _ in floors),
            floor_is=floor_is,
            target=Target(limit=PRODUCTION_RATIO, of="ratio"),
        ),
        Result(
            name=f"belonging-{NODES} again",
            what=f"vct init with nothing to do, {said}",
            unit="s",
            runs=tuple(second for _, second in ours),
            floor=tuple(second for _, second in floors),
            floor_is="the same without a controller",
        ),
    ]


def _two_inits(bed: Bed, text: str) -> tuple[float, float]:
    """Seconds of the first init of a testbed, of which there is nothing, and of the second."""
    bed.vct("cleanup", "--flush")
    ensure_home(bed.home)
    node_keys.fill(bed.home.key_pool, NODES)  # as `vct build controller` does
    file = str(bed.file(text))
    settle()
    return bed.timed("init", file), bed.timed("init", file)


def _agents(bed: Bed) -> list[int]:
    """The process of each node's agent. Raises VctError unless each node has one."""
    groups = [
        group
        for hierarchy in hierarchies()
        for node in node_ids(NODES)
        for group in (hierarchy / cgroup_of(bed.name, node)).glob("*/")
    ]
    commands = {pid: read(Path("/proc") / str(pid) / "cmdline") for pid in idle.processes(groups)}
    found = sorted(pid for pid, command in commands.items() if AGENT in command.split("\0"))
    if len(found) != NODES:
        raise VctError(f"{len(found)} agents run in {NODES} nodes", hint="see: vct node info all")
    return found


def _cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = read(Path("/proc") / str(pid) / "stat").rpartition(")")[2].split()
    return sum(map(int, fields[CPU_FIELDS])) / TICKS_PER_S


def _changes_s(bed: Bed, changes: int) -> list[float]:
    """Seconds that each of so many changes took, one node after the other."""
    url = json.loads(bed.vct("--json", "controller", "status").stdout)["url"]
    kept = json.loads(read(bed.paths.controller.credentials))
    api = Api(base=url, token=kept["token"])
    return [_change_s(bed, api, node, "safe") for node in node_ids(NODES)[:changes]]


def _change_s(bed: Bed, api: Api, node: str, state: str) -> float:
    def is_applied(_node: str, answer: node_probe.Answer) -> bool:
        return bool(answer.document and answer.document.get("state") == state)

    begun = time.perf_counter()
    api.send("PATCH", f"/api/nodes/{names.node_number(node)}/", {"set_state": state})
    place, address = names.controller_namespace(bed.name), str(names.management_ipv6(node))
    answer = node_probe.watch(place, {node: address}, is_applied, LIMIT_S)[node]
    taken = time.perf_counter() - begun
    if not is_applied(node, answer):
        raise VctError(f"node {node} is not {state} after {LIMIT_S:g} s", hint="see: vct node info")
    return taken
