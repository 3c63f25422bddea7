"""The verbs for links: what each is wanted to do to packets, what is applied, by which engine."""

from __future__ import annotations

import click

from vct.cli.options import Group
from vct.cli.session import session


@click.group(cls=Group)
def link() -> None:
    """Links between nodes."""


@link.command("list")
def list_links() -> None:
    """List the links: wanted and applied quality, and the engine that applies it."""
    from vct.cli.testbed import link_table
    from vct.verbs import testbed as verbs

    here = session()
    here.require_sight()
    found = verbs.status(here.home, here.testbed())
    here.emit(found.document()["links"], lambda: link_table(found))
