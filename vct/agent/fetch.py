"""Fetches a node's orders, each document once a cycle: node, base, group, users, then slivers.

Only the node's own document is needed for all: without it there are no orders. Every other one
that cannot be had is told as a problem, what was had of it before holds on, and its neighbours
are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from vct.agent import orders
from vct.agent.kept import Cache, Cached
from vct.agent.orders import Json, Orders, SliverOrders, User
from vct.agent.problems import Fault, Problem, RegistryError, sentence, told

SLIVERS_MAX = 512  # documents of one node; it has room for 125 slivers

T = TypeVar("T")


class Source(Protocol):
    """What a Registry offers."""

    base: str

    def place(self, uri: str) -> str: ...
    def get(self, place: str, known: Cached | None = None) -> Cached: ...


@dataclass(frozen=True)
class Fetched:
    """`cache` holds what was asked for in this cycle, and nothing else."""

    orders: Orders
    cache: Cache


def fetch(source: Source, node: int, cache: Cache) -> Fetched:
    """All of section 1.3 of the original's facts, in its order.

    Raises RegistryError when the node's own document cannot be had.
    """
    fetching = _Fetching(source, cache)
    uri = f"{source.base}nodes/{node}/"
    found = fetching.get(uri, stale=False)
    base = fetching.part("/base", lambda: fetching.get(source.base).body)
    admins = fetching.part("/group", lambda: fetching.admins(found.body))
    slivers = fetching.slivers(found.body)
    return Fetched(
        Orders(
            node=found.body,
            links=found.links,
            source=uri,
            base=base,
            admins=admins,
            slivers=slivers,
            problems=tuple(fetching.problems),
        ),
        fetching.now,
    )


class _Fetching:
    """One cycle's questions: the documents that were had before, and those of now."""

    def __init__(self, source: Source, cache: Cache) -> None:
        self.source, self.before = source, cache
        self.now: Cache = {}
        self.failed: dict[str, RegistryError] = {}
        self.problems: list[Problem] = []

    def get(self, uri: str, *, stale: bool = True) -> Cached:
        """A document; when it cannot be had, and is not gone, the one of before, with a problem."""
        place = self.source.place(uri)
        if place in self.failed:
            raise self.failed[place]
        if place not in self.now:
            known = self.before.get(place)
            try:
                self.now[place] = self.source.get(place, known)
            except RegistryError as error:
                if known is None or not stale or error.fault is Fault.GONE:
                    self.failed[place] = error
                    raise
                self.now[place] = known
                self.problems.append(told(error))
        return self.now[place]

    def part(self, member: str, had: Callable[[], T]) -> T | None:
        """What a question gives, None with a problem when that cannot be had or meant."""
        try:
            return had()
        except RegistryError as error:
            self.problems.append(told(error, member))
        except ValueError as error:
            self.problems.append(Problem(member, sentence(str(error), orders.HINT)))
        return None

    def admins(self, node: Json) -> tuple[User, ...]:
        group = self.get(orders.reference(node.get("group"))).body
        users = [orders.read_user(self.get(uri).body) for uri in orders.admin_uris(group)]
        return tuple(user for user in users if user is not None)

    def slivers(self, node: Json) -> dict[int, SliverOrders]:
        listed = node.get("slivers")
        if not isinstance(listed, list):
            self.problems.append(Problem("/slivers", sentence("there is no list", orders.HINT)))
            return {}
        found = {}
        for one in listed[:SLIVERS_MAX]:
            sliver = self.part("/slivers", partial(self.sliver, one))
            if sliver is not None:
                found[sliver.pk] = sliver
        return found

    def sliver(self, listed: object) -> SliverOrders:
        """Raises RegistryError or ValueError when nothing of it can be had."""
        uri = orders.reference(listed)
        pk = orders.trailing_number(uri)
        had = self.get(uri)
        before, self.problems = self.problems, []
        try:
            made = SliverOrders(pk, had.body, had.links)
            made = self._with_slice(made)
            made = self._with_template(made)
            return replace(made, problems=tuple(self.problems))
        finally:
            before += [Problem(f"/slivers/{pk}{one.member}", one.message) for one in self.problems]
            self.problems = before

    def _with_slice(self, made: SliverOrders) -> SliverOrders:
        def had() -> Json:
            return self.get(orders.reference(made.sliver.get("slice"))).body

        return replace(made, slice_=self.part("/slice", had))

    def _with_template(self, made: SliverOrders) -> SliverOrders:
        def had() -> SliverOrders:
            uri = orders.template_uri(made.sliver, made.slice_)
            if uri is None:
                return made
            pk, found = orders.trailing_number(uri), self.get(uri)
            return replace(made, template=found.body, template_pk=pk, template_links=found.links)

        return self.part("/template", had) or made
