"""A build's step that failed: where in the recipe, the last words, and what may help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vct.build.steps import Step
from vct.drivers import process
from vct.errors import VctError
from vct.model.recipe import Recipe

TAIL_LINES = 15
ADVICE = (
    (
        "Mirror sync in progress|Hash Sum mismatch",
        "the mirror does not agree with itself: try again later, or another one: --mirror URL",
    ),
    (
        "Temporary failure resolving|Could not (resolve|connect)|Connection (refused|timed out)",
        "the mirror cannot be reached: look at the network, or use another one: --mirror URL",
    ),
    (
        r"404 +Not Found",
        "the mirror lists packages that it does not have: fetch its lists anew (--refresh), or use "
        "another one: --mirror URL",
    ),
    ("Unable to locate package|has no installation candidate", "look at the package's name"),
    ("No space left on device", "free some disk space or memory"),
)


class BuildError(VctError):
    """A step of a recipe failed. The hint has the tail of its output and the log's place."""

    def __init__(self, recipe: Recipe, step: Step, code: int, log: Path) -> None:
        words = step.title or process.render_command(step.argv[:2])
        tail = _tail(log)
        super().__init__(
            f"{place_of(recipe, step.key)}: {words}: failed with exit code {code}",
            hint="\n".join([*tail, *_advice(tail), f"the whole log: {log}"]),
        )
        self.recipe, self.arch, self.step, self.log = recipe.name, recipe.arch, words, log

    def details(self) -> dict[str, object]:
        return {
            "recipe": self.recipe,
            "arch": self.arch,
            "step": self.step,
            "log": str(self.log),
        }


def place_of(recipe: Recipe, key: str) -> str:
    """File, line and key of a recipe, and which image it is for, to begin a message with."""
    place = str(recipe.source)
    if key in recipe.places:
        place += f":{recipe.places[key].line}: {key}"
    return f"{place}: {recipe.name} for {recipe.arch}"


def _tail(log: Path) -> list[str]:
    """The last lines of what the step said, without those that started it."""
    lines = log.read_text(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("$ ")]
    return [f"| {line}" for line in said[-TAIL_LINES:]]


def _advice(tail: Sequence[str]) -> list[str]:
    text = "\n".join(tail)
    return [words for pattern, words in ADVICE if re.search(pattern, text)][:1]
