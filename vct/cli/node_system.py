"""`vct node update`, `rollback` and `firmware`: the systems of nodes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vct.cli.completion import complete_node, complete_nodes
from vct.cli.options import OUTPUT, Command
from vct.cli.progress import StepProgress
from vct.cli.session import Session, session
from vct.errors import UsageError

if TYPE_CHECKING:
    from vct.verbs.node_update import Result
    from vct.verbs.node_update_plan import Choose, Update

NODE_SET = click.argument("nodes", metavar="NODE_SET", shell_complete=complete_nodes)
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long each node has to be well.  [default: as vct init waits]",
)
MIB = 1 << 20


@click.command(cls=Command)
@NODE_SET
@click.option("--image", default="", metavar="NAME", help="The image of this name, as it is now.")
@click.option("--to", "digest", default="", metavar="DIGEST", help="The image of this digest.")
@TIMEOUT
def update(nodes: str, image: str, digest: str, timeout: float | None) -> None:
    """Boot nodes into another image, and keep it if they are well; else they go back.

    By default into the image that the testbed file names, as it is built by now. It is put beside
    what a node has: identity, keys and /persist are shared, all else begins anew. A node that does
    not come up, whose ssh server or agent does not answer in time, boots what it had before.
    """
    from vct.verbs import node_update_plan as planning

    if image and digest:
        raise UsageError("--image and --to say the same thing", hint="give one of them")
    here = session()
    images = here.home.images
    choose = planning.to_digest(images, digest) if digest else planning.to_image(images, image)
    _run(here, nodes, choose, timeout)


@click.command(cls=Command)
@NODE_SET
@TIMEOUT
def rollback(nodes: str, timeout: float | None) -> None:
    """Boot nodes into the system that they had before the last update.

    With all that was written in it. It is on trial too: a node that is not well in it goes back.
    """
    from vct.verbs import node_update_plan as planning

    _run(session(), nodes, planning.to_previous, timeout)


def _run(here: Session, nodes: str, choose: Choose, timeout: float | None) -> None:
    from vct.verbs import node_update as verbs

    paths = here.testbed()
    if here.dry_run:
        here.require_sight()
        jobs = verbs.plan_update(here.home, paths, nodes, choose)
        here.emit([_plan_data(job) for job in jobs], lambda: "\n".join(map(_plan_words, jobs)))
        return
    here.require_root("an update restarts a node's container")
    limit = here.settings.ready_timeout_s if timeout is None else timeout
    with StepProgress(here) as progress:
        results = verbs.update(
            here.home, paths, nodes, choose, timeout_s=limit, progress=progress.step
        )
    here.emit([asdict(result) for result in results], lambda: "\n".join(map(_words, results)))
    _tell_what_was_seen(here, results)
    bad = (verbs.Outcome.FELL_BACK, verbs.Outcome.LEFT)
    sys.exit(int(any(result.outcome in bad for result in results)))


def _plan_data(job: Update) -> dict[str, Any]:
    return {
        "node": job.node,
        "changes": job.changes,
        "image": job.new.image,
        "was": job.now.image,
        "system": job.new.system,
        "running": job.now.running,
    }


def _plan_words(job: Update) -> str:
    if not job.changes:
        return f"node {job.node}: nothing to do, it has {job.now.image}"
    kind = "what it had" if job.new.system < job.now.system else "a new system"
    return f"node {job.node}: would try {job.new.image}, {kind}, beside {job.now.image}"


def _words(result: Result) -> str:
    words = f"node {result.node}: {result.outcome}"
    match str(result.outcome):
        case "updated":
            return f"{words}, it has {result.image}, had {result.was}"
        case "fell back":
            return f"{words} to {result.image}: {result.reason}"
        case "unchanged":
            return f"{words}, it has {result.image}"
    return f"{words}: {result.reason}"


def _tell_what_was_seen(here: Session, results: Sequence[Result]) -> None:
    if not here.as_json:
        for result in results:
            if result.seen:
                here.say(f"last seen of the trial on node {result.node}:\n{result.seen}")


@click.command(cls=Command)
@click.argument("name", metavar="NODE_ID", shell_complete=complete_node)
@click.option(
    "--format",
    "form",
    type=click.Choice(("directory", "tar", "lxc")),
    default="tar",
    show_default=True,
    help="What to write: tar is a tar.zst; lxc what lxc-create's template local reads.",
)
@OUTPUT
@click.option(
    "--compression-level",
    "level",
    type=int,
    metavar="N",
    help="How hard to compress: 1-19 for tar, 0-9 for lxc.",
)
def firmware(name: str, form: str, output: Path | None, level: int | None) -> None:
    """Write a node as a whole system for use elsewhere: its image with its own files in it.

    Its private keys are in it. It boots by itself under plain LXC, gets its addresses by DHCP, and
    starts its agent; what was written in the running node is not in it.
    """
    from vct.cli.build_progress import BuildProgress
    from vct.verbs import node_firmware as verbs

    here = session()
    paths = here.testbed()
    if here.dry_run:
        target = verbs.firmware_target(paths, name, verbs.Wanted(form=form, output=output))
        planned = {"node": name, "format": form, "path": str(target)}
        here.emit(planned, lambda: f"would write node {name} to {target}")
        return
    here.require_root("a node's private keys are root's")
    with BuildProgress(here) as progress:
        wanted = verbs.Wanted(form=form, output=output, level=level)
        done = verbs.export_firmware(
            here.home, paths, name, wanted, say=here.say, report=progress.report
        )
    words = f"node {name}: {done.path} ({done.size / MIB:.1f} MiB)"
    held = f"it holds {len(done.private_keys)} private keys: keep it to yourself"
    data = asdict(done) | {"path": str(done.path), "private_keys": list(done.private_keys)}
    here.emit(data, lambda: f"{words}; {held}")
