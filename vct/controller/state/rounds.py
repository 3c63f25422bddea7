"""Who is asked when, and who is told that there are new orders. The worker calls it.

Everybody is asked every so often. What cannot wait is looked for several times a second, also
while somebody who hangs is waited for: nodes whose orders have changed are told, and then asked
until they are what they are told to be; so are those that fetch something while they are not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vct.controller.state import poller
from vct.controller.state.follow import Following
from vct.controller.state.models import Status
from vct.controller.state.orders import Orders
from vct.controller.state.polling import Answer, Asking, Told, asking

LOG = logging.getLogger(__name__)
LOOK_S = 0.2  # between two looks for what cannot wait, and for being told to stop
INTAKE_S = 20.0  # of one round: it must end even if there is always somebody who hangs
TELL_EVERY_S = 1.0  # the same node: what changes again meanwhile is told together
NAMED = 5  # nodes in one line of the log


@dataclass
class Rounds:
    """What must be remembered from one round to the next; nothing of it is needed after a start."""

    stopping: Callable[[], bool] = lambda: False
    steady: Callable[[], float] = time.monotonic
    _following: Following = field(default_factory=Following)
    _orders: Orders = field(default_factory=Orders)
    _deaf: set[int] = field(default_factory=set)
    _to_tell: set[int] = field(default_factory=set)
    _told_at: dict[int, float] = field(default_factory=dict)

    def everybody(self) -> tuple[int, int]:
        """Asks all nodes and their slivers: how many were asked, how many answered.

        Ends early, with what there is so far, when `stopping` says so.
        """
        self._to_tell |= self._orders.changed(certainly=True)
        return self._round(None, self._tell_now(self.steady()))

    def prompt(self) -> tuple[int, int]:
        """The same for what cannot wait, which mostly is nothing."""
        nodes, to_tell = self._look()
        return self._round(nodes, to_tell) if nodes or to_tell else (0, 0)

    def _look(self) -> tuple[set[int], dict[int, str]]:
        """Whom to ask and whom to tell now."""
        now = self.steady()
        for node in self._wanted():
            self._following.wanted(node, now)
        self._to_tell |= self._orders.changed()
        return self._following.due(now), self._tell_now(now)

    def _tell_now(self, now: float) -> dict[int, str]:
        """Whom to tell, and where."""
        never = now - TELL_EVERY_S
        found = {one for one in self._to_tell if self._told_at.get(one, never) <= never}
        self._to_tell -= found
        places = poller.refresh_uris(found) if found else {}
        self._told_at |= dict.fromkeys(places, now)
        return places

    def _wanted(self) -> set[int]:
        wanted = Status.objects.filter(poll_wanted=True)
        if not wanted.exists():
            return set()
        owners = set(wanted.values_list("node_id", "sliver__node_id"))
        wanted.update(poll_wanted=False)  # before asking: what is wanted meanwhile comes again
        return {node or of_sliver for node, of_sliver in owners}

    def _round(self, nodes: set[int] | None, to_tell: dict[int, str]) -> tuple[int, int]:
        asked = answered = 0
        end = self.steady() + INTAKE_S
        known: dict[int, Status] = {}
        with asking(poller.networks()) as out:
            self._begin(out, known, nodes, to_tell)
            while out.pending and not self.stopping():
                answers, told = out.come(LOOK_S)
                self._heard(told)
                self._keep(known, answers)
                asked += len(answers)
                answered += sum(answer.answered for answer in answers)
                if out.pending and self.steady() < end:
                    self._begin(out, known, *self._look())
        return asked, answered

    def _begin(
        self, out: Asking, known: dict[int, Status], nodes: set[int] | None, to_tell: dict[int, str]
    ) -> None:
        out.tell(to_tell)
        if nodes is None or nodes:
            statuses = poller.statuses(nodes)
            known |= statuses
            out.ask(poller.visits(statuses), urgent=nodes is not None)

    def _keep(self, known: dict[int, Status], answers: list[Answer]) -> None:
        poller.store(known, answers)
        now = self.steady()
        for answer in answers:
            status = known[answer.key]
            if status.node:
                self._following.asked(
                    status.node.pk,
                    answered=answer.answered,
                    state=status.value,
                    set_state=status.node.set_state,
                    now=now,
                )

    def _heard(self, told: list[Told]) -> None:
        """Who cannot be told is in the log once, until it can be again: it fetches by itself."""
        now = self.steady()
        news: dict[int, str] = {}
        for one in told:
            if not one.words:
                self._deaf.discard(one.key)
                self._following.told(one.key, now)
            elif one.key not in self._deaf:
                self._deaf.add(one.key)
                news[one.key] = one.words
        if news:
            names = ", ".join(f"{node:04x} ({words})" for node, words in list(news.items())[:NAMED])
            more = f" and {len(news) - NAMED} more" if len(news) > NAMED else ""
            LOG.info("not told of new orders, they fetch them later: %s%s", names, more)
