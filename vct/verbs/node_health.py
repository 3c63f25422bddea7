"""Whether a node that was just started is well: it runs, its ssh server answers, and its agent,
where it has firmware, says that the node is safe or in production. Called by vct.verbs.node_update.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from vct import names
from vct.drivers import node_probe, ssh_probe
from vct.drivers.containers import ContainerDriver
from vct.paths import TestbedPaths

WELL = frozenset({"safe", "production"})
HOLD_S = 1.0  # a system that greets and then dies is not well
LOOK_S = 0.3
AGENT_S = 5.0
INSIDE = "127.0.0.1"  # asked in its own namespace, a node needs no management network to be heard
STATE = re.compile("[a-z]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A node that runs with this init, and whether it must have an agent."""

    node: str
    pid: int
    agent: bool


def patient(paths: TestbedPaths, node: str) -> Patient:
    """A node as it runs now. The firmware that an agent needs says that there is one."""
    _, pid = ContainerDriver(paths).state(node)
    return Patient(node=node, pid=pid, agent=paths.node(node).confine.config.exists())


def wait_until_well(
    paths: TestbedPaths, who: Patient, timeout_s: float, cancelled: Callable[[], bool]
) -> str:
    """Wait until a node has been well for HOLD_S. Returns why it is not; empty: it is."""
    deadline = time.monotonic() + timeout_s
    since: float | None = None
    while True:
        problem = _gone(paths, who)
        if problem:
            return problem
        if cancelled():
            return "interrupted"
        problem = _unwell(paths, who)
        now = time.monotonic()
        if problem:
            since = None
        elif since is None:
            since = now
        elif now - since >= HOLD_S:
            return _gone(paths, who)
        if problem and now >= deadline:
            return f"after {timeout_s:g} s {problem}"
        time.sleep(LOOK_S)


def answers_ssh(paths: TestbedPaths, node: str, timeout_s: float) -> str:
    """Wait until a node's ssh server greets. Returns what is wrong; empty: it does."""
    addresses = {node: str(names.local_ipv4(node))}
    silent = ssh_probe.wait_for_ssh(names.fabric_namespace(paths.name), addresses, timeout_s)
    return f"its ssh server does not answer: {silent[node]}" if silent else ""


def _gone(paths: TestbedPaths, who: Patient) -> str:
    state, pid = ContainerDriver(paths).state(who.node)
    if state != "RUNNING":
        return "its system ended by itself"
    return "" if pid == who.pid else "it rebooted by itself"


def _unwell(paths: TestbedPaths, who: Patient) -> str:
    problem = answers_ssh(paths, who.node, 0)
    if problem or not who.agent:
        return problem
    return agent_says(paths, who.node)


def agent_says(paths: TestbedPaths, node: str) -> str:
    """Ask a node's agent for the node's state. Returns what is wrong; empty: it is well."""
    namespace = names.node_namespace(paths.name, node)
    answer = node_probe.ask(namespace, {node: INSIDE}, AGENT_S)[node]
    if answer.document is None:
        return f"its agent does not answer: {answer.seen}"
    state = answer.document.get("state")
    if not isinstance(state, str) or not STATE.fullmatch(state):
        return "its agent answers without a state"
    return "" if state in WELL else f"its agent says that the node is in state {state}"
