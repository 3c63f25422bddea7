"""The floor of `vct init`: the same nodes, prepared beforehand, started by a bare loop.

Directories, disks, namespaces, links and configurations are made by vct's own drivers and not
timed; then xargs runs lxc-start for every node, four side by side, with the mounts that a node
needs, and another one stops them. No Python is in the timed part.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bed import Bed
from benchmarks.machine import settle
from vct import names
from vct.apply.journal import Journal
from vct.apply.loop import run_plan
from vct.drivers import process, ssh_probe
from vct.drivers.container_config import layers_of, render_config
from vct.drivers.firmware_files import choose_boot
from vct.drivers.host import ensure_home
from vct.drivers.layers import START, start_arguments
from vct.drivers.lxc_config import INIT, uses_cgroup2
from vct.drivers.registry import open_drivers
from vct.drivers.textfiles import write
from vct.errors import VctError
from vct.model.testbed import Testbed
from vct.plan.steps import Plan
from vct.plan.things import Container
from vct.verbs.record import claim_directory
from vct.verbs.testbed import prepare

WORKERS = 4  # as many as vct's own driver has
READY_LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BareTimes:
    """Seconds from the beginning until all run, until every sshd greets; and to stop them all."""

    running: float
    ready: float
    stopped: float


def bare_loop(bed: Bed, testbed: Testbed) -> BareTimes:
    """Start and stop a testbed's nodes the bare way; nothing is left."""
    with prepared(bed, testbed) as containers:
        settle()
        begun = time.perf_counter()
        start(bed, containers)
        running = time.perf_counter() - begun
        wait_ready(testbed)
        ready = time.perf_counter() - begun
        begun = time.perf_counter()
        stop(bed, containers)
        return BareTimes(running=running, ready=ready, stopped=time.perf_counter() - begun)


@contextmanager
def prepared(bed: Bed, testbed: Testbed) -> Iterator[list[Container]]:
    """Everything of a testbed but its running containers; after the block nothing of it is left."""
    ensure_home(bed.home)
    claim_directory(bed.paths)
    try:
        with open_drivers(bed.home, testbed.name) as drivers:
            steps = prepare(bed.home, testbed, drivers).plan.steps
            rest = Plan(tuple(step for step in steps if step.kind is not Container))
            run_plan(rest, drivers, Journal(bed.paths.journal))
        containers = [step.thing for step in steps if isinstance(step.thing, Container)]
        for container in containers:
            node = bed.paths.node(container.node)
            choose_boot(node, container.boot, Path(container.root))
            text = render_config(container, bed.paths, cgroup2=uses_cgroup2())
            write(node.config, text, mode=0o640)
        yield containers
    finally:
        bed.vct("cleanup", "--flush")


def start(bed: Bed, containers: Sequence[Container]) -> None:
    """Start prepared nodes; returns when all run."""
    arguments = [
        start_arguments(layers_of(container, bed.paths), bed.paths.nodes, container.node, INIT)
        for container in containers
    ]
    _loop(START, [word for words in arguments for word in words], each=len(arguments[0]))


def stop(bed: Bed, containers: Sequence[Container]) -> None:
    """Halt nodes; returns when all have stopped."""
    command = ["lxc-stop", f"--lxcpath={bed.paths.nodes}", "--timeout=10"]
    _loop(command, [f"--name={container.node}" for container in containers], each=1)


def _loop(command: Sequence[str], arguments: Sequence[str], *, each: int) -> None:
    """Run a command with `each` of the arguments at a time, WORKERS side by side."""
    xargs = ["xargs", "--null", f"--max-procs={WORKERS}", f"--max-args={each}"]
    process.run([*xargs, *command], input="\0".join(arguments), timeout_s=READY_LIMIT_S)


def wait_ready(testbed: Testbed) -> None:
    """Wait until every sshd greets."""
    addresses = {node.id: str(names.local_ipv4(node.id)) for node in testbed.nodes}
    fabric = names.fabric_namespace(testbed.name)
    silent = ssh_probe.wait_for_ssh(fabric, addresses, READY_LIMIT_S)
    if silent:
        raise VctError(f"nodes of the bare loop are not ready: {silent}")
