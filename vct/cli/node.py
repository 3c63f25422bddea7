"""The verbs for nodes: look at them, start and stop them, get inside."""

from __future__ import annotations

import sys
from typing import Any

import click

from vct.cli import node_system
from vct.cli.completion import complete_nodes
from vct.cli.options import Group
from vct.cli.progress import StepProgress
from vct.cli.session import Session, session
from vct.errors import RefusedError

NODE_SET = click.argument("nodes", metavar="NODE_SET", shell_complete=complete_nodes)
PASS_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(cls=Group)
def node() -> None:
    """Nodes of the testbed. NODE_SET: all, 0001, 0001-0004, 0001,0007."""


@node.command("list")
def list_nodes() -> None:
    """List the nodes and their states."""
    from vct.cli.testbed import node_table
    from vct.verbs.testbed import status

    here = session()
    here.require_sight()
    found = status(here.home, here.testbed())
    here.emit(found.document()["nodes"], lambda: node_table(found))


@node.command()
@click.argument("nodes", metavar="[NODE_SET]", default="all", shell_complete=complete_nodes)
def info(nodes: str) -> None:
    """Show everything about nodes: why each is in its state, addresses, interfaces."""
    from dataclasses import asdict

    from vct.names import parse_node_set
    from vct.verbs.testbed import status

    here = session()
    here.require_sight()
    found = status(here.home, here.testbed())
    chosen = parse_node_set(nodes, [node.id for node in found.nodes])
    picked = [asdict(node) for node in found.nodes if node.id in chosen]
    here.emit(picked, lambda: "\n\n".join(_info_words(fields) for fields in picked))


def _info_words(fields: dict[str, Any]) -> str:
    lines = [f"node {fields['id']}: {fields['state']}, {fields['reason']}"]
    lines += _confine_words(fields["confine"])
    for name, value in fields.items():
        if name in ("id", "state", "reason", "confine"):
            continue
        shown = ", ".join(f"{k}: {v}" for k, v in value.items()) if name == "interfaces" else value
        lines.append(f"  {name.replace('_', ' '):14} {shown}")
    return "\n".join(lines)


def _confine_words(fields: dict[str, Any] | None) -> list[str]:
    """How it stands with the controller, the reason first."""
    if fields is None:
        return []
    told, said, known = (fields[key] or "nothing" for key in ("set_state", "state", "known"))
    by = f"by {fields['backend']}" + (f", gateway {fields['gateway']}" if fields["gateway"] else "")
    trip = f"{fields['rtt_ms']:.2f} ms" if fields["rtt_ms"] is not None else "no round trip"
    reached = f"reachable, {trip}" if fields["reachable"] else "not reachable"
    return [
        f"  {fields['sentence']}",
        *([f"  next: {fields['next_step']}"] if fields["next_step"] else []),
        f"  {'management':14} {fields['address']} {by}: {reached}",
        f"  {'CONFINE state':14} told {told}, says {said}, the controller heard {known}",
        *(f"  {'error':14} {error}" for error in fields["errors"]),
    ]


@node.command()
@click.argument("name", metavar="NODE_ID", shell_complete=complete_nodes)
@click.option("--renew-keys", is_flag=True, help="Give it new keys; the old ones are forgotten.")
def create(name: str, renew_keys: bool) -> None:
    """Make one node of the testbed complete: container, registration, firmware.

    What is there already is kept, its keys too: a second time nothing is done.
    """
    from vct.verbs import node_create as verbs

    here = session()
    here.require_root("creating a node starts a container")
    paths, limit = here.testbed(), here.settings.ready_timeout_s
    with StepProgress(here) as progress:
        done = verbs.start(here.home, paths, name, progress.step, renew=renew_keys)
        progress.waiting(1)
        verbs.wait(here.home, paths, name, limit, progress.ready)
        progress.saying("waiting for the controller")
        joined = verbs.join(here.home, paths, name, limit, progress.saying, renew=renew_keys)
    told = list(joined.told) if joined else []
    state = joined.state if joined else ""
    changed = bool(done.changed or told)
    document = {"node": name, "changed": changed, "told": told, "state": state}
    words = "made" if changed else "nothing to do"
    words = f"node {name}: {words}" + (f", in {state}" if state else "")
    here.emit(document, lambda: "\n".join([words, *(f"  {one}" for one in told)]))


@node.command()
@NODE_SET
def start(nodes: str) -> None:
    """Start nodes and wait until they are ready."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("starting a node starts a container")
    with StepProgress(here) as progress:
        done = verbs.start_nodes(here.home, here.testbed(), nodes, progress.step)
        verbs.wait_nodes(here.home, here.testbed(), done.nodes, here.settings.ready_timeout_s)
    _tell(here, "started", done.changed, done.nodes, "ran already")


@node.command()
@NODE_SET
@click.option("--kill", is_flag=True, help="Do not halt them first: as pulling the plug.")
def stop(nodes: str, kill: bool) -> None:
    """Halt nodes; their links and disks stay."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("stopping a node stops a container")
    with StepProgress(here) as progress:
        done = verbs.stop_nodes(here.home, here.testbed(), nodes, kill=kill, progress=progress.step)
    _tell(here, "stopped", done.changed, done.nodes, "was stopped already")


@node.command()
@NODE_SET
def restart(nodes: str) -> None:
    """Halt nodes and start them again."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("restarting a node restarts a container")
    paths = here.testbed()
    with StepProgress(here) as progress:
        verbs.stop_nodes(here.home, paths, nodes, kill=False, progress=progress.step)
        done = verbs.start_nodes(here.home, paths, nodes, progress.step)
        verbs.wait_nodes(here.home, paths, done.nodes, here.settings.ready_timeout_s)
    _tell(here, "restarted", done.nodes, done.nodes, "")


@node.command()
@NODE_SET
def remove(nodes: str) -> None:
    """Remove nodes with their disks and keys; `vct init` makes those in the file anew."""
    from vct.names import parse_node_set
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("removing a node deletes its disk")
    paths = here.testbed()
    chosen = parse_node_set(nodes, verbs.known_nodes(paths))
    here.confirm(f"Delete the disks of nodes {', '.join(chosen)}?")
    with StepProgress(here) as progress:
        done = verbs.remove_nodes(here.home, paths, nodes, progress.step)
    _tell(here, "removed", done.changed, done.nodes, "was not there")
    if done.changed and verbs.has_controller(paths):
        here.say("the controller keeps their records; made anew they get new keys: vct node create")


def _tell(
    here: Session, word: str, changed: tuple[str, ...], nodes: tuple[str, ...], otherwise: str
) -> None:
    document = {"nodes": list(nodes), word: list(changed)}
    here.emit(
        document,
        lambda: "\n".join(
            f"node {name}: {word if name in changed else otherwise}" for name in nodes
        ),
    )


@node.command(context_settings=PASS_ON)
@NODE_SET
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec(nodes: str, command: tuple[str, ...]) -> None:  # noqa: A001 - the verb's name
    """Run COMMAND inside nodes as root; with one node it gets this terminal.

    The exit code is that of the (first failed) command.
    """
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("exec enters a container")
    paths = here.testbed()
    chosen = verbs.running(paths, nodes)
    words = _after_dashes(command)
    if len(chosen) == 1 and not here.as_json:
        sys.exit(verbs.exec_here(paths, chosen[0], words))
    results = [verbs.exec_captured(paths, name, words) for name in chosen]
    here.emit(results, lambda: "\n".join(_exec_words(result) for result in results))
    sys.exit(next((result["code"] for result in results if result["code"]), 0))


def _after_dashes(command: tuple[str, ...]) -> list[str]:
    """The command without the `--` that sets it off from our own options."""
    return list(command[1:] if command[:1] == ("--",) else command)


def _exec_words(result: dict[str, Any]) -> str:
    lines = f"{result['stdout']}{result['stderr']}".rstrip("\n").splitlines()
    return "\n".join(f"{result['node']}: {line}" for line in lines or ["(no output)"])


@node.command(context_settings=PASS_ON)
@NODE_SET
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(nodes: str, command: tuple[str, ...]) -> None:
    """Log in to a node by ssh, or run COMMAND on each node of a set.

    By the first of management, local and rescue address that answers; says which.
    """
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("ssh uses the testbed's key and network")
    paths = here.testbed()
    chosen = verbs.running(paths, nodes)
    if len(chosen) > 1 and not command:
        raise RefusedError("a login needs one node", hint="name one node, or give a command")
    words = _after_dashes(command)
    codes = [verbs.ssh(paths, name, words, _way(here, name)) for name in chosen]
    sys.exit(next((code for code in codes if code), 0))


@node.command(context_settings=PASS_ON)
@NODE_SET
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED)
def scp(nodes: str, arguments: tuple[str, ...]) -> None:
    """Copy files with scp: `remote:PATH` is a path on the node."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("scp uses the testbed's key and network")
    paths = here.testbed()
    codes = [
        verbs.scp(paths, name, list(arguments), _way(here, name))
        for name in verbs.running(paths, nodes)
    ]
    sys.exit(next((code for code in codes if code), 0))


def _way(here: Session, name: str) -> Any:
    """The way to a node, which is told: a login that works by rescue only is no good sign."""
    from vct.verbs import nodes as verbs

    way = verbs.find_way(here.testbed(), name)
    here.say(f"node {name} by {way}")
    return way


@node.command()
@click.argument("name", metavar="NODE_ID", shell_complete=complete_nodes)
def console(name: str) -> None:
    """Open a node's console; Ctrl-a q leaves it."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("the console belongs to a container")
    paths = here.testbed()
    if len(chosen := verbs.running(paths, name)) > 1:
        raise RefusedError("a console is one node's", hint="name one node")
    sys.exit(verbs.console(paths, chosen[0]))


@node.command()
@NODE_SET
def mount(nodes: str) -> None:
    """Mount stopped nodes' file systems on this host and print where."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("mounting needs root")
    places = verbs.mount_nodes(here.home, here.testbed(), nodes)
    here.emit(places, lambda: "\n".join(f"node {name}: {at}" for name, at in places.items()))


@node.command()
@NODE_SET
def unmount(nodes: str) -> None:
    """Unmount what `vct node mount` mounted."""
    from vct.verbs import nodes as verbs

    here = session()
    here.require_root("unmounting needs root")
    paths = here.testbed()
    done = verbs.unmount_nodes(here.home, paths, nodes)
    _tell(here, "unmounted", done.changed, done.nodes, "was not mounted")


node.add_command(node_system.update)
node.add_command(node_system.rollback)
node.add_command(node_system.firmware)
