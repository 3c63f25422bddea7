"""How slices get VLAN tags and when they expire. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from vct.wire.limits import (
    EXPIRY_WARNING_DAYS,
    SLICE_LIFETIME_DAYS,
    VLAN_TAG_FIRST,
    VLAN_TAG_LAST,
)
from vct.wire.states import SliverSetState


def needs_tag(state: SliverSetState, *, allow_isolated: bool) -> bool:
    """A slice has a VLAN tag exactly while its slivers may be on nodes."""
    return allow_isolated and state is not SliverSetState.REGISTER


def next_tag(used: Collection[int]) -> int | None:
    """The one above the highest in use, else the lowest free one; None if all are used.

    Going up first keeps a tag unused for long after it was freed: nodes that lag behind do not
    join two slices.
    """
    if not used:
        return VLAN_TAG_FIRST
    if max(used) < VLAN_TAG_LAST:
        return max(used) + 1
    free = (tag for tag in range(VLAN_TAG_FIRST, VLAN_TAG_LAST + 1) if tag not in used)
    return next(free, None)


def expiry(today: date) -> date:
    """When a slice ends that is made or renewed today."""
    return today + timedelta(days=SLICE_LIFETIME_DAYS)


def ends_soon(expires_on: date, today: date) -> bool:
    """From now on its people are warned."""
    return today < expires_on <= today + timedelta(days=EXPIRY_WARNING_DAYS)
