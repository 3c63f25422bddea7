"""What a node or sliver is said to be, from what was seen of it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from vct.wire.limits import HEARTBEAT_TIMEOUT_S, STALE_AFTER_POLLS
from vct.wire.states import NodeState


def value_of_answer(answer: object, known: Collection[str]) -> str:
    """What a polled document says; `unknown` if it says nothing that is published."""
    said = answer.get("state") if isinstance(answer, dict) else None
    return said if isinstance(said, str) and said in known else NodeState.UNKNOWN


def concluded(value: str, *, seen_on: datetime | None, made_on: datetime, now: datetime) -> str:
    """A thing whose node fetched nothing for two hours has crashed, unless it was given up."""
    silent = now - (seen_on or made_on)
    if value != NodeState.FAILURE and silent > timedelta(seconds=HEARTBEAT_TIMEOUT_S):
        return NodeState.CRASHED
    return value


def current(value: str, *, tried_on: datetime | None, now: datetime, interval_s: float) -> str:
    """The value, if the last attempt is recent enough; a clock that jumped back counts as now."""
    if tried_on is None or now - tried_on > timedelta(seconds=interval_s * STALE_AFTER_POLLS):
        return NodeState.NODATA
    return value
