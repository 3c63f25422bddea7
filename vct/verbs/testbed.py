"""Verbs for a whole testbed: init, wait, status, ping, cleanup, purge.

Each observes first, plans, and applies under the testbed's lock. Called by the command line and by
vct.testing; progress goes to a callback.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vct import names
from vct.apply.journal import Journal
from vct.apply.lock import locked
from vct.apply.loop import Drivers, Progress, observe, quiet, run_plan
from vct.build.store import find_image
from vct.drivers import firmware_files, netns, shaping_support, ssh_probe, uplink
from vct.drivers.containers import ContainerDriver, attach_command, discard_all_remains
from vct.drivers.host import check_host, ensure_home, require
from vct.drivers.process import run
from vct.drivers.registry import open_drivers, release_host
from vct.drivers.textfiles import read
from vct.errors import InterruptedByUser, NotReadyError
from vct.model.testbed import Link, Testbed
from vct.paths import Home, TestbedPaths
from vct.plan.outcome import Outcome
from vct.plan.steps import Plan, Step, diff
from vct.plan.things import KEEPSAKES, Bridge, Container, Thing
from vct.plan.wanted import BuiltImage, Facts, number, wanted
from vct.verbs.record import (
    Applied,
    claim_directory,
    load_applied,
    require_applied,
    same_record,
    save_applied,
    testbed_names,
)
from vct.verbs.systems import chosen_systems

if TYPE_CHECKING:
    from vct.report.status import TestbedStatus

CONSOLE_TAIL_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan and what it was made from."""

    before: Applied | None
    applied: Applied
    wanted: list[Thing]
    seen: list[Thing]
    plan: Plan


def gather_facts(home: Home, testbed: Testbed) -> Facts:
    """What this host offers this testbed. Raises VctError for an image that is not built."""
    images: dict[tuple[str, str], BuiltImage] = {}
    systems = chosen_systems(home.testbed(testbed.name), testbed)
    own = {node for node, system in systems.items() if system.image}
    needed = {(node.image, node.arch) for node in testbed.nodes if node.id not in own}
    if testbed.controller:
        needed.add((testbed.controller.image, testbed.controller.arch))
    for image, arch in needed:
        found = find_image(home.images, image, arch)
        images[image, arch] = BuiltImage(label=f"{image}@{found.digest[:12]}", root=str(found.path))
    return Facts(netem=shaping_support.has_netem(), images=images, systems=systems)


def prepare(home: Home, testbed: Testbed, drivers: Drivers) -> Prepared:
    """Observe, and plan the way from what is to what the testbed says. Changes nothing."""
    return _planned(home, testbed, observe(drivers))


def _planned(home: Home, testbed: Testbed, have: list[Thing]) -> Prepared:
    facts = gather_facts(home, testbed)
    before = load_applied(home.testbed(testbed.name))
    taken = uplink.taken_networks(testbed.name)
    numbers = number(testbed, before.numbers if before else None, taken)
    want = wanted(testbed, numbers, facts)
    return Prepared(
        before=before,
        applied=Applied(testbed=testbed, numbers=numbers),
        wanted=want,
        seen=have,
        plan=diff(want, have),
    )


def is_up(name: str) -> bool:
    """Whether a testbed of this name, perhaps somebody else's, has a network. Needs no root."""
    return names.fabric_namespace(name) in netns.namespace_names()


def plan_init(home: Home, testbed: Testbed, *, look: bool = True) -> Prepared:
    """What `init` would do. Without a `look`, which needs root: for a testbed of which there is
    nothing."""
    if not look:
        return _planned(home, testbed, [])
    with open_drivers(home, testbed.name) as drivers:
        return prepare(home, testbed, drivers)


def init(home: Home, testbed: Testbed, progress: Progress = quiet) -> Outcome:
    """Bring a testbed to what it says. Raises what the steps raise, after undoing them."""
    paths = home.testbed(testbed.name)
    require(check_host(home))
    ensure_home(home)
    with _locked_or_gone(home, paths), open_drivers(home, testbed.name) as drivers:
        prepared = prepare(home, testbed, drivers)
        _discharge_nodes(paths, testbed)
        before = prepared.before
        if not prepared.plan:
            if not same_record(before, prepared.applied):
                save_applied(paths, prepared.applied)
            return Outcome()
        claim_directory(paths)
        save_applied(paths, prepared.applied)
        try:
            return run_plan(prepared.plan, drivers, Journal(paths.journal), progress)
        except BaseException:
            with suppress(OSError):  # on a full disk the new record stays
                save_applied(paths, before)
            raise


def _discharge_nodes(paths: TestbedPaths, testbed: Testbed) -> None:
    """Without a controller nodes are nobody's: no agent, no tinc."""
    for node in testbed.nodes if testbed.controller is None else ():
        if paths.node(node.id).confine.root.exists():
            firmware_files.discharge(paths, node.id, node.boot)


@contextmanager
def _locked_or_gone(home: Home, paths: TestbedPaths) -> Iterator[None]:
    """The testbed's lock for the block. Of a testbed that did not come to be it is no remnant."""
    with locked(paths.lock):
        try:
            yield
        finally:
            if not paths.mark.exists():
                paths.lock.unlink(missing_ok=True)
                _remove_empty_run_directories(home, paths)


def wait_ready(
    home: Home,
    testbed: Testbed,
    timeout_s: float,
    on_ready: Callable[[str], None] = lambda _node: None,
) -> None:
    """Wait until every node's ssh server answers. Raises NotReadyError with what was seen."""
    addresses = {node.id: str(names.local_ipv4(node.id)) for node in testbed.nodes}
    fabric = names.fabric_namespace(testbed.name)
    try:
        silent = ssh_probe.wait_for_ssh(fabric, addresses, timeout_s, on_ready)
    except KeyboardInterrupt:
        raise InterruptedByUser(
            "interrupted while waiting for nodes; they go on starting",
            hint="look: vct status\nstop them: vct cleanup",
        ) from None
    if silent:
        paths = home.testbed(testbed.name)
        seen = {node: last_seen(paths, node, what) for node, what in silent.items()}
        count = f"{len(silent)} of {len(addresses)} nodes"
        raise NotReadyError(
            f"{count} not ready after {timeout_s:g} s: {names.render_node_set(silent)}",
            seen=seen,
            hint="look inside: vct node console " + next(iter(silent)),
        )


def last_seen(paths: TestbedPaths, node: str, what: str) -> str:
    """What can be seen of a node that does not answer: state, console's end, processes."""
    state, _ = ContainerDriver(paths).state(node)
    console = read(paths.node(node).console_log).splitlines()[-CONSOLE_TAIL_LINES:]
    lines = [f"ssh: {what}; container: {state}", "console:", *(f"  {line}" for line in console)]
    if state == "RUNNING":
        listing = run(attach_command(paths, node, ["ps", "ax"]), check=False, timeout_s=5)
        lines += ["processes:", *(f"  {line}" for line in listing.stdout.splitlines())]
    return "\n".join(lines)


# --- status --------------------------------------------------------------------------------------


def status(home: Home, paths: TestbedPaths) -> TestbedStatus:
    """The testbed as it is now, beside what was asked for."""
    # What init does not need, it does not load.
    from vct.report.status import controller_status, testbed_status
    from vct.verbs.membership import members

    applied = require_applied(paths)
    with open_drivers(home, paths.name) as drivers:
        prepared = prepare(home, applied.testbed, drivers)
    running = [t.node for t in prepared.seen if isinstance(t, Container) and t.running]
    addresses = {
        node.id: str(names.local_ipv4(node.id))
        for node in applied.testbed.nodes
        if node.id in running
    }
    silent: Mapping[str, str] = dict.fromkeys(addresses, "the testbed's network is gone")
    if addresses and any(isinstance(thing, Bridge) for thing in prepared.seen):
        silent = ssh_probe.wait_for_ssh(names.fabric_namespace(paths.name), addresses, 0)
    testbed, url = applied.testbed, names.controller_url(applied.numbers.uplink)
    controller = controller_status(prepared.wanted, prepared.seen, url, _ask_controller)
    up = controller and names.controller_namespace(paths.name) in netns.namespace_names()
    return testbed_status(
        testbed,
        prepared.wanted,
        prepared.seen,
        silent,
        map(str, prepared.plan.steps),
        controller,
        members(paths, testbed, url, running, silent) if up else {},
    )


def _ask_controller(url: str) -> str:
    from vct.drivers.controller_api import health

    return health(url)


def ping_links(paths: TestbedPaths) -> list[dict[str, Any]]:
    """The round trip from each link's first node to its second, over the link; `rtt_ms` or None.

    The first ping also finds the neighbour's MAC, so the last one counts; a lossy link has five.
    """
    applied = require_applied(paths)

    def ping(link: Link) -> dict[str, Any]:
        interface, address = way_over(link, applied)
        command = ["ping", "-n", "-c5", "-i0.2", "-W2", f"-I{interface}", address]
        done = run(attach_command(paths, link.a, command), check=False, timeout_s=30)
        return {
            "link": link.name,
            "from": link.a,
            "to": link.b,
            "address": address,
            "rtt_ms": parse_rtt(done.stdout),
            "quality": str(link.forward),
        }

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(ping, applied.testbed.links))


def way_over(link: Link, applied: Applied) -> tuple[str, str]:
    """The interface of a link's first node, and an address of its second that answers over this
    link: where the two are also neighbours elsewhere, only the link-local one of its interface."""
    here, there = (applied.numbers.interfaces[node] for node in (link.a, link.b))
    place = f"link {link.name}"
    interface = names.direct_interface(here[place])
    if set(here) & set(there) == {place}:
        return interface, str(names.link_ipv4(link.b))
    address = names.link_local_ipv6(names.mac(there[place], link.b))
    return interface, f"{address}%{interface}"


def parse_rtt(ping_output: str) -> float | None:
    """The last `time=… ms` that ping printed."""
    times = re.findall(r"time[=<]([0-9.]+) ms", ping_output)
    return float(times[-1]) if times else None


def plan_cleanup(seen: list[Thing], *, flush: bool) -> Plan:
    """Everything goes; users' data (disks, keys) only when `flush`."""
    return Plan(tuple(step for step in diff([], seen).steps if flush or step.kind not in KEEPSAKES))


def plan_end(home: Home, name: str, *, flush: bool) -> Plan:
    """What `cleanup` would do."""
    with open_drivers(home, name) as drivers:
        return plan_cleanup(observe(drivers), flush=flush)


def cleanup(home: Home, name: str, *, flush: bool, progress: Progress = quiet) -> Plan:
    """Take a testbed off the host; `flush` also deletes its directory."""
    paths = home.testbed(name)
    with locked(paths.lock), open_drivers(home, name) as drivers:
        plan = plan_cleanup(observe(drivers), flush=flush)
        if plan:
            run_plan(plan, drivers, Journal(paths.journal), progress)
        if flush and paths.mark.exists():
            shutil.rmtree(paths.root)
        discard_all_remains(paths)
        release_host(home, name)
        remove_run_directory(home, paths)
    return plan


def purge_list(home: Home) -> list[str]:
    """What `purge` would remove."""
    from vct.verbs import image_run

    found = [f"testbed {name}" for name in testbed_names(home)]
    found += [f"run {seen.name}" for seen in image_run.runs(home)]
    if home.mark.exists():
        found.append(f"directory {home.root}")
    return found


def purge(home: Home, progress: Progress = quiet) -> None:
    """Remove all testbeds and runs of images, and the state root with the images in it."""
    from vct.verbs import image_run

    for name in testbed_names(home):
        cleanup(home, name, flush=True, progress=progress)
    image_run.remove_all(home)
    if home.mark.exists():
        remove_home(home)


def remove_home(home: Home) -> None:
    """Remove the state root; where it is a mount point, all that is in it."""
    for path in home.root.iterdir():
        if path == home.mark:
            continue  # last: until then the rest is known to be ours
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    home.mark.unlink()
    with suppress(OSError):
        home.root.rmdir()


def remove_run_directory(home: Home, paths: TestbedPaths) -> None:
    """Remove the testbed's run-time directory, and those around it when it was the last."""
    shutil.rmtree(paths.run, ignore_errors=True)
    _remove_empty_run_directories(home, paths)


def _remove_empty_run_directories(home: Home, paths: TestbedPaths) -> None:
    with suppress(OSError):  # in use
        for directory in (paths.run, *paths.run.parents):
            if directory.exists() and directory.is_relative_to(home.run):
                directory.rmdir()


def describe(step: Step) -> dict[str, Any]:
    """A step as JSON."""
    return {
        "action": str(step.action),
        "kind": type(step.thing).noun,
        "key": step.thing.key,
        "reason": step.reason,
    }
