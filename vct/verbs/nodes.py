"""Verbs for single nodes: start, stop, remove, get inside, mount.

Those that change something are plans of a few steps, applied under the testbed's lock like any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from vct import names
from vct.apply.journal import Journal
from vct.apply.lock import locked
from vct.apply.loop import Drivers, Progress, quiet, run_plan
from vct.drivers import ssh_probe
from vct.drivers.containers import ContainerDriver, attach_command
from vct.drivers.mounts import OfflineMountDriver
from vct.drivers.netns import inside_command, namespace_names
from vct.drivers.process import foreground, run
from vct.drivers.registry import open_drivers
from vct.errors import RefusedError, VctError
from vct.paths import Home, TestbedPaths
from vct.plan.steps import Action, Plan, Step
from vct.plan.things import Container, NodeFiles, NodeNetwork, OfflineMount, Thing
from vct.verbs.record import require_applied
from vct.verbs.testbed import Prepared, prepare, wait_ready


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The nodes that a verb was for, and those that it changed."""

    nodes: tuple[str, ...]
    changed: tuple[str, ...]


def known_nodes(paths: TestbedPaths) -> list[str]:
    """Ids of the testbed's nodes."""
    return [node.id for node in require_applied(paths).testbed.nodes]


def has_controller(paths: TestbedPaths) -> bool:
    """Whether the testbed has a controller."""
    return require_applied(paths).testbed.controller is not None


def running(paths: TestbedPaths, node_set: str) -> tuple[str, ...]:
    """The nodes of a set, all of which must run. Raises RefusedError naming those that do not."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    driver = ContainerDriver(paths)
    stopped = [node for node in chosen if driver.state(node)[0] != "RUNNING"]
    if stopped:
        nodes = names.render_node_set(stopped)
        raise RefusedError(f"not running: {nodes}", hint=f"start it: vct node start {nodes}")
    return chosen


# --- start, stop, remove -------------------------------------------------------------------------


@contextmanager
def _at_work(home: Home, paths: TestbedPaths) -> Iterator[tuple[Prepared, Drivers]]:
    testbed = require_applied(paths).testbed
    with locked(paths.lock), open_drivers(home, paths.name) as drivers:
        yield prepare(home, testbed, drivers), drivers


def start_nodes(home: Home, paths: TestbedPaths, node_set: str, progress: Progress = quiet) -> Done:
    """Start the nodes of a set that do not run; their configuration is written anew."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    kinds = (NodeFiles, NodeNetwork, Container, OfflineMount)
    with _at_work(home, paths) as (prepared, drivers):
        if not any(isinstance(thing, NodeNetwork) for thing in prepared.seen):
            raise RefusedError(f"testbed {paths.name} is not up", hint="bring it up: vct init")
        plan = Plan(
            tuple(
                step
                for step in prepared.plan.steps
                if step.kind in kinds and step.thing.key in chosen
            )
        )
        run_plan(plan, drivers, Journal(paths.journal), progress)
    return Done(nodes=chosen, changed=_of_containers(plan))


def wait_nodes(
    home: Home,
    paths: TestbedPaths,
    nodes: Sequence[str],
    timeout_s: float,
    on_ready: Callable[[str], None] = lambda _node: None,
) -> None:
    """Wait until these nodes are ready."""
    testbed = require_applied(paths).testbed
    chosen = tuple(node for node in testbed.nodes if node.id in nodes)
    wait_ready(home, replace(testbed, nodes=chosen), timeout_s, on_ready)


def stop_nodes(
    home: Home,
    paths: TestbedPaths,
    node_set: str,
    *,
    kill: bool = False,
    progress: Progress = quiet,
) -> Done:
    """Halt the nodes of a set that run."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    with _at_work(home, paths) as (prepared, drivers):
        live = [thing for thing in _containers(prepared.seen, chosen) if thing.running]
        if kill:
            for thing in live:
                ContainerDriver(paths).stop(thing.node, kill=True)
        steps = [
            Step(
                action=Action.CHANGE,
                thing=replace(thing, running=False, at_home=True),
                was=thing,
                reason="stop asked for",
            )
            for thing in live
        ]
        plan = Plan(tuple(steps))
        run_plan(plan, drivers, Journal(paths.journal), progress)
    return Done(nodes=chosen, changed=_of_containers(plan))


def remove_nodes(
    home: Home, paths: TestbedPaths, node_set: str, progress: Progress = quiet
) -> Done:
    """Stop the nodes of a set and delete their files."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    with _at_work(home, paths) as (prepared, drivers):
        doomed: list[Thing] = [
            thing
            for kind in (OfflineMount, Container, NodeFiles)
            for thing in prepared.seen
            if isinstance(thing, kind) and thing.key in chosen
        ]
        plan = Plan(
            tuple(
                Step(action=Action.DELETE, thing=thing, reason="removal asked for")
                for thing in doomed
            )
        )
        run_plan(plan, drivers, Journal(paths.journal), progress)
    return Done(nodes=chosen, changed=tuple(sorted({thing.key for thing in doomed})))


def _containers(things: Sequence[Thing], nodes: Sequence[str]) -> list[Container]:
    return [thing for thing in things if isinstance(thing, Container) and thing.node in nodes]


def _of_containers(plan: Plan) -> tuple[str, ...]:
    return tuple(step.thing.key for step in plan.steps if step.kind is Container)


# --- inside --------------------------------------------------------------------------------------


def exec_here(paths: TestbedPaths, node: str, command: list[str]) -> int:
    """Run a command inside a node on this terminal; returns its exit code."""
    return foreground(attach_command(paths, node, command))


def exec_captured(paths: TestbedPaths, node: str, command: list[str]) -> dict[str, Any]:
    """Run a command inside a node: `node`, `code`, `stdout`, `stderr`."""
    done = run(attach_command(paths, node, command), check=False)
    return {"node": node, "code": done.code, "stdout": done.stdout, "stderr": done.stderr}


def ssh_options(paths: TestbedPaths, node: str) -> list[str]:
    """Options for ssh and scp: the testbed's key, the host key pinned when the node was made."""
    settings = (
        f"IdentityFile={paths.private_key}",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={paths.node(node).known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        f"HostKeyAlias={names.hostname(node)}",
        "ConnectTimeout=10",
        "LogLevel=ERROR",
    )
    return ["-F", "none", *(word for setting in settings for word in ("-o", setting))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to a node's ssh server: what people call it, the address, the namespace to start in."""

    name: str
    address: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


def ways_to(paths: TestbedPaths, node: str) -> list[Way]:
    """From the one that shows that the whole node works to the one that needs least of it."""
    fabric, controller = (
        names.fabric_namespace(paths.name),
        names.controller_namespace(paths.name),
    )
    found = [
        Way(name="local", address=str(names.local_ipv4(node)), namespace=fabric),
        Way(name="rescue", address=str(names.rescue_ipv6(node)), namespace=fabric),
    ]
    if paths.node(node).confine.config.exists() and controller in namespace_names():
        address = str(names.management_ipv6(node))
        found.insert(0, Way(name="management", address=address, namespace=controller))
    return found


def find_way(paths: TestbedPaths, node: str) -> Way:
    """The first way by which a node's ssh server answers. Raises VctError with what was seen."""
    seen = []
    for way in ways_to(paths, node):
        silent = ssh_probe.wait_for_ssh(way.namespace, {node: way.address}, 0)
        if not silent:
            return way
        seen.append(f"{way}: {silent[node]}")
    raise VctError(
        f"node {node} answers ssh nowhere: {'; '.join(seen)}",
        hint=f"look inside: vct node console {node}",
    )


def ssh(paths: TestbedPaths, node: str, command: list[str], way: Way) -> int:
    """Log in to a node, or run a command there by ssh; returns ssh's exit code."""
    address = f"root@{way.address}"
    argv = ["ssh", *ssh_options(paths, node), address, *(["--", *command] if command else [])]
    return foreground(inside_command(way.namespace, argv))


def scp(paths: TestbedPaths, node: str, arguments: list[str], way: Way) -> int:
    """Run scp; in its arguments `remote:PATH` is a path on the node."""
    host = f"[{way.address}]" if ":" in way.address else way.address
    place = f"root@{host}:"
    told = [
        place + argument.removeprefix("remote:") if argument.startswith("remote:") else argument
        for argument in arguments
    ]
    argv = ["scp", *ssh_options(paths, node), *told]
    return foreground(inside_command(way.namespace, argv))


def console(paths: TestbedPaths, node: str) -> int:
    """Open a node's console on this terminal."""
    return foreground(["lxc-console", f"--lxcpath={paths.nodes}", f"--name={node}", "--tty=0"])


# --- from outside --------------------------------------------------------------------------------


def mount_nodes(home: Home, paths: TestbedPaths, node_set: str) -> dict[str, str]:
    """Mount the file systems of stopped nodes; returns where. Raises RefusedError if one runs."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    with _at_work(home, paths) as (prepared, drivers):
        live = [thing.node for thing in _containers(prepared.seen, chosen) if thing.running]
        if live:
            nodes = names.render_node_set(live)
            raise RefusedError(f"running: {nodes}", hint=f"stop it first: vct node stop {nodes}")
        mounted = {t.node for t in prepared.seen if isinstance(t, OfflineMount)}
        roots = {t.node: t.root for t in prepared.wanted if isinstance(t, Container)}
        steps = [
            Step(
                action=Action.CREATE,
                thing=OfflineMount(node=node, root=roots[node]),
                reason="asked for",
            )
            for node in chosen
            if node not in mounted
        ]
        run_plan(Plan(tuple(steps)), drivers, Journal(paths.journal))
    driver = OfflineMountDriver(paths)
    return {node: str(driver.place(node)) for node in chosen}


def unmount_nodes(home: Home, paths: TestbedPaths, node_set: str) -> Done:
    """Unmount what mount_nodes mounted."""
    chosen = names.parse_node_set(node_set, known_nodes(paths))
    with _at_work(home, paths) as (prepared, drivers):
        mounts = [
            thing
            for thing in prepared.seen
            if isinstance(thing, OfflineMount) and thing.node in chosen
        ]
        steps = [Step(action=Action.DELETE, thing=thing, reason="asked for") for thing in mounts]
        run_plan(Plan(tuple(steps)), drivers, Journal(paths.journal))
    return Done(nodes=chosen, changed=tuple(thing.node for thing in mounts))
