"""Does what was decided, in an order that a power cut at any point leaves to the next cycle.

First what must be remembered, then keys, a reboot last of all: and never one that could not be
remembered, which would be a reboot without end. What fails is told and tried again.
"""

from __future__ import annotations

from collections.abc import Callable

from vct.agent import admins
from vct.agent.decide import Decision
from vct.agent.kept import Kept, save_kept
from vct.agent.orders import User
from vct.agent.places import Places, read, write
from vct.agent.problems import Problem, of_system


def apply(
    decision: Decision, before: Kept, places: Places, reboot: Callable[[], None]
) -> tuple[Problem, ...]:
    """What did not work."""
    if decision.kept != before:
        try:
            save_kept(places.state, decision.kept)
        except OSError as error:
            return (of_system(error, "cannot remember the node's state"),)
    if decision.reboot:
        try:
            reboot()
        except OSError as error:
            return (of_system(error, "cannot reboot"),)
    return ()


def write_admins(places: Places, users: tuple[User, ...]) -> tuple[Problem, ...]:
    """Let exactly these users of the registry log in, besides whom others let in."""
    try:
        present = read(places.authorized_keys)
        text, problems = admins.render(present, users)
        if text != present:
            write(places.authorized_keys, text)
    except OSError as error:
        return (of_system(error, "cannot write the administrators' keys"),)
    except ValueError as error:
        return (Problem("", f"the administrators' keys cannot be read: {error}."),)
    return problems
