"""The verbs for a whole testbed: init, status, demo, cleanup, purge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vct.cli.options import Command
from vct.cli.progress import StepProgress
from vct.cli.session import Session, session
from vct.errors import UsageError, VctError

if TYPE_CHECKING:
    from rich.table import Table

    from vct.model.testbed import Testbed
    from vct.plan.steps import Plan
    from vct.report.status import ConfineStatus, NodeStatus, TestbedStatus

DEFAULT_FILE = Path("testbed.yaml")


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--timeout", type=float, help="Seconds to wait for nodes; 0: do not wait.")
def init(file: Path | None, timeout: float | None) -> None:
    """Bring a testbed to what FILE says: create, change and remove what differs.

    FILE is ./testbed.yaml unless given; without either, the testbed as it was last applied. A
    second init of the same file changes nothing.
    """
    from vct.verbs import testbed as verbs

    here = session()
    testbed = _load(here, file)
    if here.dry_run:
        look = here.is_root or verbs.is_up(testbed.name)
        if look:
            here.require_sight()
        else:
            here.say("without root: disks and keys that are there already are not seen")
        prepared = verbs.plan_init(here.home, testbed, look=look)
        here.emit(_plan_document(testbed.name, prepared.plan), lambda: _plan_text(prepared.plan))
        return
    here.require_root("init makes network namespaces and starts containers")
    with StepProgress(here) as progress:
        outcome = verbs.init(here.home, testbed, progress.step)
    limit = here.settings.ready_timeout_s if timeout is None else timeout
    registered, told = _await(here, testbed, limit) if limit > 0 else ({}, [])
    counts = outcome.counts()
    document = {
        "testbed": testbed.name,
        "changed": bool(outcome.done),
        **counts,
        "seconds": round(outcome.seconds, 3),
        "ready": [node.id for node in testbed.nodes] if limit > 0 else [],
        **registered,
    }
    words = _init_words(testbed, counts, ready=limit > 0)
    here.emit(document, lambda: "\n".join([words, *told]))


def _await(here: Session, testbed: Testbed, limit: float) -> tuple[dict[str, Any], list[str]]:
    """Wait for nodes and for the controller, and tell that what the testbed is: the result of this
    as JSON and in words, empty without a controller."""
    from vct.verbs import testbed as verbs

    with StepProgress(here) as progress:
        progress.waiting(len(testbed.nodes))
        verbs.wait_ready(here.home, testbed, limit, progress.ready)
    if testbed.controller is None:
        return {}, []
    from vct.cli.controller import registered_document, registered_words
    from vct.verbs import controller

    paths = here.home.testbed(testbed.name)
    with StepProgress(here) as progress:
        progress.saying("waiting for the controller")
        controller.wait_ready(paths, limit)
        found = controller.register(here.home, paths, progress.saying)
    from vct.verbs import membership

    with StepProgress(here) as progress:
        progress.waiting(len(found.enrolled.orders), "in the state that they are told to be in")
        states = membership.wait_members(paths, testbed, found, limit, progress.ready)
    document = {"controller": registered_document(found), "states": states}
    return document, [*registered_words(found), *_state_words(states)]


def _state_words(states: dict[str, str]) -> list[str]:
    """`production: 0001-0004`, a line for each state."""
    from vct.names import render_node_set

    return [
        f"  {state}: {render_node_set(node for node, one in states.items() if one == state)}"
        for state in sorted(set(states.values()))
    ]


def _init_words(testbed: Testbed, counts: dict[str, int], *, ready: bool) -> str:
    nodes = f"{len(testbed.nodes)} nodes" + (" ready" if ready else "")
    if not any(counts.values()):
        return f"{testbed.name}: nothing to do, {nodes}"
    made = f"{counts['create']} created, {counts['change']} changed, {counts['delete']} removed"
    return f"{testbed.name}: {made}; {nodes}"


def _load(here: Session, file: Path | None) -> Testbed:
    from vct.verbs.record import read_testbed, require_applied

    name = here.options.get("testbed")
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    if file is not None:
        return read_testbed(here.home, file, name)
    if not (name or here.testbed_names()):
        raise UsageError(
            "there is no testbed.yaml here", hint="name one: vct init FILE; see examples/"
        )
    return require_applied(here.testbed()).testbed


def _plan_document(name: str, plan: Plan) -> dict[str, Any]:
    from vct.verbs.testbed import describe

    return {"testbed": name, "steps": [describe(step) for step in plan.steps]}


def _plan_text(plan: Plan) -> str:
    if not plan:
        return "nothing to do"
    return "\n".join(f"{step.action:7} {step.thing}: {step.reason}" for step in plan.steps)


@click.command(cls=Command)
def status() -> None:
    """Show the testbed's nodes and links as they are now."""
    from vct.verbs import testbed as verbs

    here = session()
    here.require_sight()
    found = verbs.status(here.home, here.testbed())
    here.emit(found.document(), lambda: _status_text(found))


def _status_text(found: TestbedStatus) -> Any:
    from rich.console import Group
    from rich.text import Text

    words = f"testbed {found.name}: " + ("all as wanted" if found.ready else "not as wanted")
    parts: list[Any] = [words, node_table(found)]
    if found.controller:
        parts.insert(1, f"controller {found.controller.state}: {found.controller.url}")
    troubles = {node.id: words for node in found.nodes if (words := _trouble(node))}
    # As text: brackets around addresses are none of rich's.
    parts += [Text(f"node {node}: {words}") for node, words in troubles.items()]
    if found.links:
        parts.append(link_table(found))
    if found.differences:
        more = [f"vct init would {difference}" for difference in found.differences[:10]]
        if len(found.differences) > len(more):
            more.append(f"… and {len(found.differences) - len(more)} more steps")
        parts += more
    return Group(*parts)


def _trouble(node: NodeStatus) -> str:
    """Why a node is not what it is told to be, and what to do next."""
    member = node.confine
    if member is None or member.well:
        return ""
    return member.sentence + (f" Next: {member.next_step}" if member.next_step else "")


def node_table(found: TestbedStatus) -> Table:
    """Nodes, for people."""
    from rich.box import SIMPLE
    from rich.table import Table

    joined = any(node.confine for node in found.nodes)
    more = ("CONFINE", "management", "round trip") if joined else ()
    table = Table(
        "node", "state", *more, "address", "rescue", "link address", "image", "arch", box=SIMPLE
    )
    colours = {"ready": "green", "starting": "yellow"}
    for node in found.nodes:
        state = f"[{colours.get(node.state, 'red')}]{node.state}[/]"
        own = _member_cells(node.confine) if joined else ()
        table.add_row(
            node.id,
            state,
            *own,
            node.address,
            node.rescue,
            node.link_address,
            node.image,
            node.arch,
        )
    return table


def _member_cells(member: ConfineStatus | None) -> tuple[str, str, str]:
    """State, management address and round trip of a node."""
    if member is None:
        return "", "", ""
    said = member.state or member.known or "-"
    words = said if said == member.set_state else f"{said}, told {member.set_state or 'nothing'}"
    colour = "green" if member.well else "red"
    trip = f"{member.rtt_ms:.2f} ms" if member.rtt_ms is not None else ""
    if not trip:
        trip = "reachable" if member.reachable else "[red]not reachable[/]"
    return f"[{colour}]{words}[/]", member.address, trip


def link_table(found: TestbedStatus) -> Table:
    """Links, for people."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("link", "from", "to", "engine", "applied", "back", "as wanted", box=SIMPLE)
    for link in found.links:
        table.add_row(
            link.name,
            f"{link.a} {link.a_interface}",
            f"{link.b} {link.b_interface}",
            link.engine,
            link.forward.applied,
            "same" if link.backward == link.forward else link.backward.applied,
            "[green]yes[/]" if link.ok else f"[red]no: {link.forward.wanted}[/]",
        )
    return table


@click.command(cls=Command)
def demo() -> None:
    """Ping every neighbour over its link, show the result and what to try next."""
    from vct.verbs import testbed as verbs

    here = session()
    here.require_root("demo runs ping inside the nodes")
    paths = here.testbed()
    results = verbs.ping_links(paths)
    found = verbs.status(here.home, paths)
    document: dict[str, Any] = {"testbed": paths.name, "pings": results}
    if found.controller:
        from vct.verbs import controller, membership
        from vct.verbs.record import require_applied

        uri, relations = controller.base_resource(paths)
        document["controller"] = {"base": uri, "relations": relations}
        document["management"] = membership.ping_members(require_applied(paths).testbed)
    here.emit(document, lambda: _demo_text(found, document))
    for what in ("pings", "management"):
        asked = document.get(what, [])
        lost = [result for result in asked if result["rtt_ms"] is None]
        if lost:
            who = "neighbours" if what == "pings" else "management addresses"
            words = f"{len(lost)} of {len(asked)} {who} did not answer"
            raise VctError(words, hint="see: vct status")


def _demo_text(found: TestbedStatus, document: dict[str, Any]) -> Any:
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table

    table = Table("link", "from", "to", "address", "round trip", "link is", box=SIMPLE)
    for result in document["pings"]:
        table.add_row(
            result["link"],
            result["from"],
            result["to"],
            result["address"],
            _trip(result["rtt_ms"]),
            result["quality"],
        )
    first, second = found.nodes[0].id, found.nodes[-1].id
    parts: list[Any] = [node_table(found), table]
    if found.controller:
        base = document["controller"]
        parts += [
            f"The controller at {found.controller.url} opens in this PC's browser; its API, "
            f"{base['base']}, names {base['relations']} link relations.",
            "The controller pings each node over the management network: "
            + ", ".join(f"{one['node']} {_trip(one['rtt_ms'])}" for one in document["management"]),
        ]
    return Group(
        *parts,
        "Try next:",
        "  vct status",
        f"  vct node ssh {first}",
        f"  vct node exec {first} -- ping -c3 rd{second}.link",
        *(["  vct controller status"] if found.controller else []),
        "  edit a copy of the testbed file, then: vct init FILE",
        "  vct cleanup    (stop; vct purge removes everything)",
    )


def _trip(rtt_ms: float | None) -> str:
    return "no answer" if rtt_ms is None else f"{rtt_ms:.2f} ms"


@click.command(cls=Command)
@click.argument("directive", type=click.Choice(["flush"]), required=False)
@click.option("--flush", is_flag=True, help="Also delete the nodes' disks and the testbed's keys.")
def cleanup(directive: str | None, flush: bool) -> None:
    """Stop the testbed and remove it from the host; its nodes' disks stay unless --flush."""
    from vct.verbs import testbed as verbs

    here = session()
    flush = flush or directive == "flush"
    name = here.testbed_name()
    if here.dry_run:
        here.require_sight()
        plan = verbs.plan_end(here.home, name, flush=flush)
        here.emit(_plan_document(name, plan), lambda: _plan_text(plan))
        return
    here.require_root("cleanup stops containers and removes network namespaces")
    with StepProgress(here) as progress:
        plan = verbs.cleanup(here.home, name, flush=flush, progress=progress.step)
    document = {"testbed": name, "flushed": flush, "removed": len(plan.steps)}
    here.emit(document, lambda: _cleanup_words(name, plan, flush=flush))


def _cleanup_words(name: str, plan: Plan, *, flush: bool) -> str:
    removed = f"{len(plan.steps)} things removed" if plan else "nothing was running"
    kept = "" if flush else "; its nodes' disks are kept (vct cleanup --flush deletes them)"
    return f"{name}: {removed}{kept}"


@click.command(cls=Command)
def purge() -> None:
    """Remove all testbeds, images and state of vct; installed packages stay."""
    from vct.verbs import testbed as verbs

    here = session()
    here.require_root("purge removes everything that vct made on this host")
    home = here.home
    found = verbs.purge_list(home)
    if here.dry_run:
        here.emit({"remove": found}, lambda: "\n".join(f"remove {item}" for item in found))
        return
    if found:
        here.confirm(f"Remove {', '.join(found)}?")
    with StepProgress(here) as progress:
        verbs.purge(home, progress.step)
    here.emit(
        {"removed": found},
        lambda: f"removed {', '.join(found)}" if found else "nothing to remove",
    )
