"""`vct tinc`: the management network's files, for tinc daemons outside of a testbed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vct.cli.options import Group
from vct.cli.session import session

if TYPE_CHECKING:
    from vct.verbs.tinc_hosts import Outcome

FILE = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group(cls=Group)
def tinc() -> None:
    """Files for tinc daemons that want to be in a management network."""


@tinc.command()
@click.argument("base_uri")
@click.option("--output", "-o", type=DIRECTORY, required=True, help="Where the host files go.")
@click.option("--ca", type=FILE, help="Who signed the controller's certificate, in PEM.")
@click.option(
    "--token", envvar="VCT_TOKEN", default="", help="A token of the API, if it wants one."
)
def hosts(base_uri: str, output: Path, ca: Path | None, token: str) -> None:
    """Write the host file of every tinc host that a CONFINE controller knows.

    BASE_URI is that of its REST API, such as https://controller.example.org/api/. Needs no testbed
    and no root. Only files that it wrote itself are changed or removed; run it again to bring them
    up to date, then send tincd a HUP. Exits with 1 when something of the controller's was refused.
    """
    from vct.drivers.rest import Rest
    from vct.verbs import tinc_hosts

    here = session()
    api = Rest(base=base_uri, ca=ca, token=token)
    done = tinc_hosts.keep(api, output, tinc_hosts.fetch(api), dry_run=here.dry_run)
    here.emit(done.document(), lambda: _words(done, dry_run=here.dry_run))
    if done.refused:
        sys.exit(1)


def _words(done: Outcome, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    counts = [
        f"{len(done.written)} {would}written",
        f"{len(done.removed)} {would}removed",
        f"{len(done.unchanged)} unchanged",
        f"{done.without_key} without a key",
    ]
    lines = [f"{done.directory}: {', '.join(counts)}"]
    lines += [f"left alone, not written by vct: {name}" for name in done.kept]
    lines += [f"refused: {one.what}: {one.reason}" for one in done.refused]
    return "\n".join(lines)
