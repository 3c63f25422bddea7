"""`vct image run` and `vct image runs`: containers straight from an image, on this PC."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vct.cli.image import ARCH, IMAGE
from vct.cli.options import Command
from vct.cli.session import Session, session
from vct.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from vct.verbs.image_run import Seen, Wanted

PASS_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": True}


def _complete_run(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    try:
        names = sorted(path.name for path in Session().home.image_runs.iterdir())
    except OSError:
        return []
    return [name for name in names if name.startswith(incomplete)]


@click.command(cls=Command)
@IMAGE
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@ARCH
@click.option("--size", metavar="SIZE", help="Size of the writable layer; 512MiB by default.")
@click.option(
    "--name",
    default="",
    metavar="NAME",
    shell_complete=_complete_run,
    help="Keep what it writes under this name, to be run again.",
)
@click.option("--rm", "remove", is_flag=True, help="Keep nothing, even with --name.")
@click.option("--boot", is_flag=True, help="Boot the image also when there is a COMMAND.")
def run(
    image: str,
    command: tuple[str, ...],
    arch: str,
    size: str | None,
    name: str,
    remove: bool,
    boot: bool,
) -> None:
    """Run a container straight from an image, which is left as it is.

    With a COMMAND (after --) only that runs, and its exit code is the result. Without one the
    image is booted and you get a root shell in it; `halt`, or leaving the shell, ends it.

    What it writes goes to a layer of fixed size, which is deleted at the end; with --name it is
    kept, and `vct image run` with the same name goes on with it. It has no network but lo.
    """
    from vct.verbs import image_run as verbs

    here = session()
    wanted = verbs.Wanted(
        image=image,
        arch=arch,
        name=name,
        size_mib=_size_mib(size) if size else 0,
        remove=remove,
        boot=boot or not command,
    )
    if here.dry_run:
        here.emit(asdict(wanted), lambda: _dry_words(wanted))
        return
    if here.as_json and not command:
        raise UsageError("--json needs a COMMAND", hint="write it after --")
    here.require_root("a container is started")
    sys.exit(_run(here, wanted, command))


def _run(here: Session, wanted: Wanted, command: tuple[str, ...]) -> int:
    from vct.verbs import image_run as verbs

    with verbs.running(here.home, wanted) as guest:
        if not here.as_json:
            return verbs.enter(guest, command)
        done = verbs.captured(guest, command)
    here.emit({"run": guest.name, "image": wanted.image, **asdict(done)}, lambda: "")
    return done.code


def _size_mib(text: str) -> int:
    from vct.model.units import SIZE, WrongValue, parse_quantity

    try:
        return parse_quantity(SIZE, text)
    except WrongValue as error:
        raise UsageError(f"--size: {text}: {error.message}", hint=error.hint) from None


def _dry_words(wanted: Wanted) -> str:
    ends = "removed at the end" if wanted.temporary else f"kept as {wanted.name}"
    how = "booted" if wanted.boot else "not booted"
    return f"would run {wanted.image} for {wanted.arch}: {how}, {ends}"


@click.command(cls=Command)
@click.option(
    "--remove",
    "doomed",
    metavar="NAME",
    multiple=True,
    shell_complete=_complete_run,
    help="Remove this one, with all that it wrote.",
)
def runs(doomed: tuple[str, ...]) -> None:
    """List the containers that `vct image run` keeps or has running."""
    from vct.verbs import image_run as verbs

    here = session()
    if not doomed:
        found = verbs.runs(here.home)
        here.emit([asdict(seen) for seen in found], lambda: _table(found))
        return
    if here.dry_run:
        here.emit({"removed": []}, lambda: f"would remove {', '.join(doomed)}")
        return
    here.require_root("a container's files are root's")
    for name in doomed:
        verbs.remove(here.home, name)
    here.emit({"removed": list(doomed)}, lambda: f"removed {', '.join(doomed)}")


def _table(found: list[Seen]) -> Table | str:
    from rich.box import SIMPLE
    from rich.table import Table

    if not found:
        return "no containers of images are kept or running"
    table = Table("run", "image", "arch", "state", "MiB used", "of", "kept", "made", box=SIMPLE)
    for seen in found:
        run = seen.run
        if run is None:
            table.add_row(seen.name, "", "", "half made", f"{seen.used_mib:.1f}", "", "no", "")
            continue
        kept = "no" if run.temporary else "yes"
        used, size = f"{seen.used_mib:.1f}", str(run.size_mib)
        table.add_row(
            seen.name,
            run.image,
            run.arch,
            "running" if seen.running else "stopped",
            used,
            size,
            kept,
            run.made,
        )
    return table
