"""Notices which nodes have other orders than before: what they would fetch has changed.

All that a node fetches is in rows which count their changes, whoever makes them and however; so
nobody who writes has to say so. The worker looks whenever the audit log has grown, and every so
often for what is not in it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from vct.controller.audit.models import Entry
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Slice, Sliver
from vct.controller.users.models import Role


@dataclass
class Orders:
    """What was there when it was looked at last; nothing has changed when it is the first time."""

    _last_entry: int | None = None
    _known: dict[int, int] = field(default_factory=dict)

    def changed(self, *, certainly: bool = False) -> set[int]:
        """The nodes (ids) whose orders have changed since this was asked last."""
        newest = Entry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        if newest == self._last_entry and not certainly:
            return set()
        first = self._last_entry is None
        before, self._known = self._known, digests()
        self._last_entry = newest
        differ = {node for node, digest in self._known.items() if before.get(node) != digest}
        return set() if first else differ


def digests() -> dict[int, int]:
    """For each node a number that is another one when something that it fetches has changed.

    In four queries. Python's hash of numbers is the same for the life of a process, at least.
    """
    groups: dict[int, int] = defaultdict(int)
    roles = Role.objects.values_list(
        *("group", "user", "user__version", "is_group_admin", "is_node_admin", "is_slice_admin")
    )
    for row in roles.order_by():
        groups[row[0]] += hash(row)
    slices = {
        row[0]: hash((*row, groups[row[1]]))
        for row in Slice.objects.values_list(
            *("pk", "group", "group__version", "version", "template__version")
        ).order_by()
    }
    slivers: dict[int, int] = defaultdict(int)
    of_slivers = Sliver.objects.values_list("node", "slice", "pk", "version", "template__version")
    for row in of_slivers.order_by():
        slivers[row[0]] += hash((*row, slices.get(row[1])))
    nodes = Node.objects.values_list("pk", "group", "group__version", "version", "island__version")
    return {row[0]: hash((*row, groups[row[1]], slivers[row[0]])) for row in nodes.order_by()}
