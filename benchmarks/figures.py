"""Figures of a benchmark as values: spreads, ratios, targets, and the document and tables of them.

Pure. A result holds every measured run and those of its floor: the same work done with as little
as possible around it, in turns with what is measured. Targets are judged by the median.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from rich.box import SIMPLE
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """At most `limit`: of the measured median in its own unit, or of its ratio to the floor's."""

    limit: float
    of: Literal["value", "ratio"] = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One figure: all its runs, in `unit`, and those of its floor, which `floor_is` describes.

    `parts` say where the time of the median run went, in the same unit.
    """

    name: str
    what: str
    unit: str
    runs: tuple[float, ...]
    floor: tuple[float, ...] = ()
    floor_is: str = ""
    target: Target | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The measured median by the floor's; None without a floor."""
        return median(self.runs) / median(self.floor) if self.floor else None

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None where there is none, or nothing to judge it by."""
        if self.target is None:
            return None
        value = median(self.runs) if self.target.of == "value" else self.ratio
        return None if value is None else value <= self.target.limit


def spread(runs: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest and all runs, as JSON."""
    return {
        "median": round(median(runs), 4),
        "min": round(min(runs), 4),
        "max": round(max(runs), 4),
        "runs": [round(run, 4) for run in runs],
    }


def median_run(runs: Sequence[float]) -> int:
    """The index of the run that is nearest to the median."""
    middle = median(runs)
    return min(range(len(runs)), key=lambda index: abs(runs[index] - middle))


def result_document(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    target = result.target
    ratio = result.ratio
    return {
        "name": result.name,
        "what": result.what,
        "unit": result.unit,
        "measured": spread(result.runs),
        "floor": {"is": result.floor_is, **spread(result.floor)} if result.floor else None,
        "ratio": None if ratio is None else round(ratio, 3),
        "target": {"of": target.of, "at_most": target.limit} if target else None,
        "holds": result.holds,
        "parts": {name: round(value, 4) for name, value in result.parts.items()},
    }


def document(
    results: Iterable[Result],
    *,
    date: str,
    machine: Mapping[str, Any],
    load: Mapping[str, float],
    quick: bool,
    left_out: Iterable[str],
) -> dict[str, Any]:
    """The whole run as JSON. `load` is the machine's one-minute load average before and after."""
    return {
        "date": date,
        "machine": dict(machine),
        "load": dict(load),
        "quick": quick,
        "left_out": list(left_out),
        "results": [result_document(result) for result in results],
    }


# --- for people ----------------------------------------------------------------------------------


def figures_table(results: Iterable[Result]) -> Table:
    """Every result on a line: median (lowest - highest), floor, ratio, target."""
    table = Table("benchmark", "measured", "floor", "ratio", "target", "holds", box=SIMPLE)
    for result in results:
        ratio = result.ratio
        table.add_row(
            result.name,
            render_spread(result.runs, result.unit),
            render_spread(result.floor, result.unit) if result.floor else "",
            "" if ratio is None else f"{ratio:.2f}",
            render_target(result),
            {None: "", True: "[green]yes[/]", False: "[red]no[/]"}[result.holds],
        )
    return table


def parts_table(results: Iterable[Result]) -> Table:
    """Where the time of each result's median run went, the greatest part first."""
    table = Table("benchmark", "part", "takes", box=SIMPLE)
    for result in results:
        parts = sorted(result.parts.items(), key=lambda part: -part[1])
        for row, (part, value) in enumerate(parts):
            table.add_row("" if row else result.name, part, render_value(value, result.unit))
    return table


def notes(results: Iterable[Result]) -> list[str]:
    """What each benchmark and its floor are, a line each."""
    return [
        f"{result.name}: {result.what}" + (f"; floor: {result.floor_is}" if result.floor else "")
        for result in results
    ]


def render_spread(runs: Sequence[float], unit: str) -> str:
    """`1.23 s (1.20 - 1.31)`; the median alone when it was measured once."""
    words = render_value(median(runs), unit)
    if len(runs) == 1:
        return words
    return f"{words} ({_digits(min(runs))} - {_digits(max(runs))})"


def render_value(value: float, unit: str) -> str:
    """A value with its unit, to three digits."""
    return f"{_digits(value)} {unit}"


def render_target(result: Result) -> str:
    """`at most 4 s`, `at most 1.5 x floor`, or empty."""
    if result.target is None:
        return ""
    unit = result.unit if result.target.of == "value" else "x floor"
    return f"at most {result.target.limit:g} {unit}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
