"""When to ask a node again of which something is expected: soon, then less often, then no more.

Pure; times are seconds of a clock that never jumps. `rounds` asks by it, besides asking everybody
every so often.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DELAYS_S = (0.25, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0)  # between two questions; 16 s in all
AT_LEAST = 2  # questions after a node was told: also something else than its state may change


@dataclass
class _Course:
    at: float | None  # None: it is being asked
    left: tuple[float, ...]
    at_least: int = 0


@dataclass
class Following:
    """The nodes that are followed, by their ids."""

    _courses: dict[int, _Course] = field(default_factory=dict)
    _given_up: dict[int, tuple[str, str]] = field(default_factory=dict)

    def told(self, node: int, now: float) -> None:
        """It will fetch new orders, and follow them a moment later."""
        self._given_up.pop(node, None)
        first, *left = DELAYS_S
        self._courses[node] = _Course(now + first, tuple(left), AT_LEAST)

    def wanted(self, node: int, now: float) -> None:
        """Somebody wants to know of it, or it showed that it lives."""
        self._courses[node] = _Course(now, DELAYS_S)

    def due(self, now: float) -> set[int]:
        """Those to ask now; each once until `asked`."""
        found = {
            node for node, one in self._courses.items() if one.at is not None and one.at <= now
        }
        for node in found:
            self._courses[node].at = None
        return found

    def asked(self, node: int, *, answered: bool, state: str, set_state: str, now: float) -> None:
        """What came. Who does not answer is followed no more, nor who is what it is to be.

        Who stays at the same difference to the end is not followed for it again, though asked.
        """
        one = self._courses.get(node)
        if one is None:
            return
        one.at_least -= 1
        difference = (set_state, state)
        if state == set_state:
            self._given_up.pop(node, None)
        over = state == set_state and one.at_least <= 0
        if not answered or over or self._given_up.get(node) == difference:
            del self._courses[node]
        elif not one.left:
            self._given_up[node] = difference
            del self._courses[node]
        else:
            one.at, one.left = now + one.left[0], one.left[1:]
