"""Benchmarks of commands that change nothing: how long a person waits for the prompt."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bed import VCT
from benchmarks.figures import Result, Target
from benchmarks.nodes import time_python
from benchmarks.topologies import mesh
from vct.drivers import process

CLICK, MODEL = "import click", "import click, pydantic, yaml"


def measure(rounds: int) -> list[Result]:
    """`--help`, and the check of a file of 100 nodes and 180 links, in turns with their floors."""
    with tempfile.TemporaryDirectory(prefix="vct-bench-") as directory:
        file = Path(directory, "testbed.yaml")
        file.write_text(mesh("hundred", 100, 180))
        return [
            _pair("help", ["--help"], CLICK, rounds, Target(limit=250)),
            _pair("validate", ["topology", "validate", str(file)], MODEL, rounds, None),
        ]


def _pair(
    name: str, arguments: Sequence[str], loads: str, rounds: int, target: Target | None
) -> Result:
    floor, runs = [], []
    for _ in range(rounds + 1):
        floor.append(time_python(loads) * 1000)
        begun = time.perf_counter()
        process.run([*VCT, *arguments])
        runs.append((time.perf_counter() - begun) * 1000)
    words = " ".join([*arguments[:2], *(["FILE"] if len(arguments) > 2 else [])])
    return Result(
        name=name,
        what=f"vct {words}",
        unit="ms",
        # The first of each warms the page cache and writes byte code.
        runs=tuple(runs[1:]),
        floor=tuple(floor[1:]),
        floor_is=f"python -c '{loads}'",
        target=target,
    )
