"""What came of a plan: which steps were done, which failed, what was taken back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from vct.plan.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`done` in the order of doing. Empty when there was nothing to do."""

    done: tuple[Step, ...] = ()
    seconds: float = 0.0

    def counts(self) -> dict[str, int]:
        """How many things were created, changed and deleted, always all three words."""
        found = Counter(str(step.action) for step in self.done)
        return {word: found[word] for word in ("create", "change", "delete")}
