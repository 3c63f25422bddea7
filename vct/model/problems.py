"""What is wrong in a user's file, collected, and the one InputError that is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from vct.errors import InputError

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from a document's root to a value."""


class Place(NamedTuple):
    """A line and a column, counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong, where, and what would be right.

    A `missing` key is told after all that is there: it often is there, misspelt.
    """

    place: Place
    path: Path
    message: str
    hint: str = ""
    missing: bool = False


def fail(problems: Sequence[Problem], source: str) -> None:
    """Raise an InputError for the first problem in the file's order; return if there is none."""
    if not problems:
        return
    first = min(problems, key=lambda problem: (problem.missing, problem.place))
    others = len(problems) - 1
    more = f"and {others} more {'problem' if others == 1 else 'problems'} in this file"
    raise InputError(
        first.message,
        file=source,
        line=first.place.line,
        column=first.place.column,
        key=render_path(first.path),
        hint="\n".join(part for part in (first.hint, more if others else "") if part),
    )


def render_path(path: Path) -> str:
    """`("links", 0, "delay")` to `links[0].delay`; indices count from 0, as in jq."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
