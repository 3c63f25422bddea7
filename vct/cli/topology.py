"""`vct topology`: look at testbed files, without root and without touching the host."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vct.cli.options import Group
from vct.cli.session import session


@click.group(cls=Group)
def topology() -> None:
    """Check testbed files."""


@topology.command()
@click.argument("file", type=click.Path(path_type=Path))
def validate(file: Path) -> None:
    """Check a testbed file and say what is in it.

    --testbed NAME stands in for the name in the file, as in `vct init`.
    """
    from vct.model.load import load_testbed  # pydantic takes a moment

    current = session()
    testbed = load_testbed(file, current.options.get("testbed"))
    counts = {
        "nodes": len(testbed.nodes),
        "links": len(testbed.links),
        "segments": len(testbed.segments),
    }
    words = ", ".join(
        f"{count} {noun.removesuffix('s') if count == 1 else noun}"
        for noun, count in counts.items()
    )
    current.emit(
        {"file": str(file), "name": testbed.name, **counts}, lambda: f"{testbed.name}: {words}"
    )


@topology.command()
def schema() -> None:
    """Print the JSON Schema of testbed files, for editors."""
    from vct.model.load import testbed_schema

    click.echo(json.dumps(testbed_schema(), indent=2, ensure_ascii=False))
