"""The runner: `python -m benchmarks [NAMES…] [--quick] [--json FILE]`, as root."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from benchmarks import (
    belonging,
    commands,
    controller,
    figures,
    idle,
    images,
    layers,
    links,
    machine,
    nodes,
)
from benchmarks.figures import Result
from vct.drivers import packages
from vct.errors import VctError

Benchmark = Callable[[bool], list[Result]]  # is given: quick


def _nodes(size: nodes.Size, quick: bool) -> list[Result]:
    return nodes.measure(size, 1 if quick else size.rounds)


BENCHMARKS: dict[str, Benchmark] = {
    "commands": lambda quick: commands.measure(3 if quick else 15),
    **{size.name: partial(_nodes, size) for size in nodes.SIZES},
    "idle": lambda quick: idle.measure(1 if quick else idle.REST_S),
    "layers": lambda quick: layers.measure(1 if quick else 15),
    "images": lambda quick: images.measure(1 if quick else 3, peers=images.has_peers()),
    "links": lambda quick: links.measure(1 if quick else 5, mininet=links.has_mininet()),
    "belonging": lambda quick: belonging.measure(*((1, 2.0, 3) if quick else (3,))),
    "controller": lambda quick: controller.measure(*((1, 1.0) if quick else (3, 5.0))),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="One round of each: to see that it works.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all figures here.")
@click.option("--install", is_flag=True, help="Install what vct is measured beside.")
def main(names: tuple[str, ...], quick: bool, file: Path | None, install: bool) -> None:
    """Measure vct beside its floors. NAMES choose benchmarks; without, all are run."""
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        run(names or tuple(BENCHMARKS), console, quick=quick, file=file, install=install)
    except VctError as error:
        click.echo(f"benchmarks: {error.message}\n  {error.hint}", err=True)
        sys.exit(error.exit_code)


def run(
    chosen: tuple[str, ...], console: Console, *, quick: bool, file: Path | None, install: bool
) -> None:
    """Run the chosen benchmarks, print their tables, write their figures."""
    left_out = _left_out(chosen, install=install)
    load = {"before": round(machine.load(), 2)}
    if load["before"] > machine.QUIET_LOAD:
        click.echo(f"this machine is not quiet: load {load['before']}", err=True)
    results: list[Result] = []
    for name in chosen:
        click.echo(f"measuring {name}", err=True)
        results += BENCHMARKS[name](quick)
    document = figures.document(
        results,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.facts(),
        load={**load, "after": round(machine.load(), 2)},
        quick=quick,
        left_out=left_out,
    )
    if file is not None:
        file.write_text(json.dumps(document, indent=2) + "\n")
    _show(console, results, document)


def _left_out(chosen: tuple[str, ...], *, install: bool) -> list[str]:
    """Install what is measured beside vct, if that was asked for; else what is not measured."""
    wanted = (
        ("links", "Mininet", [links.MININET], links.has_mininet),
        ("images", "debootstrap and lxc-create -t debian", images.PEERS, images.has_peers),
        ("controller", "PostgreSQL", [controller.POSTGRESQL], controller.has_postgresql),
    )
    left_out = []
    for name, what, debian, is_there in wanted:
        if name in chosen and not is_there():
            if install:
                packages.install(debian)
            else:
                needs = " ".join(debian)
                left_out.append(f"{name} beside {what}: {needs} not installed (--install does it)")
    return left_out


def _show(console: Console, results: list[Result], document: dict[str, object]) -> None:
    facts = document["machine"]
    assert isinstance(facts, dict)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))
    console.print(figures.figures_table(results))
    console.print(figures.parts_table(results))
    for line in figures.notes(results):
        console.print(line, markup=False)
    for line in document["left_out"] if isinstance(document["left_out"], list) else []:
        console.print(f"left out: {line}", markup=False)


if __name__ == "__main__":
    main()
