"""What the dashboard shows, in a number of queries that does not grow with the testbed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone

from vct.controller import permissions
from vct.controller.audit.models import Entry
from vct.controller.nodes.models import Node
from vct.controller.policy import Action
from vct.controller.slices import rules
from vct.controller.slices.models import Slice, today
from vct.controller.state import life
from vct.wire.states import NodeState

SHOWN = 50  # rows of each table; the lists of the admin have all
ENTRIES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One line of the table of nodes."""

    node: Node
    state: NodeState
    seen_on: Any
    n_slivers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """One line of the table of slices."""

    slice: Slice
    n_slivers: int
    ends_soon: bool


def overview(request: HttpRequest) -> dict[str, Any]:
    """The dashboard's own part of its context."""
    rows = _nodes()
    entries = Entry.objects.all() if permissions.allowed(request, Action.READ, Entry()) else ()
    return {
        "title": "Dashboard",
        "nodes": rows[:SHOWN],
        "n_nodes": len(rows),
        "states": sorted(Counter(row.state for row in rows).items()),
        "slices": _slices(today()),
        "n_slices": Slice.objects.count(),
        "worker": life.condition(),
        "entries": list(entries[:ENTRIES_SHOWN]),
    }


def _nodes() -> list[NodeRow]:
    now = timezone.now()
    nodes = Node.objects.select_related("status", "group").annotate(n_slivers=Count("slivers"))
    rows = []
    # A count takes the usual order away.
    for node in nodes.order_by("id").defer("status__data", "status__metadata"):
        status = getattr(node, "status", None)
        row = NodeRow(
            node=node,
            state=NodeState(status.current(now)) if status else NodeState.NODATA,
            seen_on=status.contact_on if status else None,
            n_slivers=node.n_slivers,
        )
        rows.append(row)
    return rows


def _slices(day: date) -> list[SliceRow]:
    slices = Slice.objects.select_related("group", "template").annotate(n_slivers=Count("slivers"))
    return [
        SliceRow(slice=one, n_slivers=one.n_slivers, ends_soon=rules.ends_soon(one.expires_on, day))
        for one in slices.order_by("id")[:SHOWN]
    ]
