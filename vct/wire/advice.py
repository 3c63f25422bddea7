"""Why a node is in its state, in one sentence, and what to do next. Pure, standard library only.

`vct node info` and the controller's page of a node tell it to people. Each knows a part: what was
not looked at is None. The first rule that fits speaks, from what stops a node altogether to what
is only slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vct.wire.states import NodeSetState, NodeState

TEXT_MAX = 300  # of an error in a sentence
SOON_S = 30.0  # an order is carried out within seconds; what takes longer is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of one node.

    `name` is what commands call it (`0a12`), `set_state` and `state` are the controller's words;
    `has_key` and `has_api` say whether the controller knows its tinc key (or it needs none) and its
    API. `management` and `local`: whether it answered there; `container`: whether that runs.
    `errors` are the node's own, (member, message); `contact_s` and `ordered_s`: seconds since it
    was last heard of, and since its set state was changed; `exception`: how the last attempt to ask
    it ended.
    """

    name: str
    set_state: str
    state: str
    has_key: bool | None = None
    has_api: bool | None = None
    container: bool | None = None
    management: bool | None = None
    local: bool | None = None
    errors: Sequence[tuple[str, str]] = ()
    contact_s: float | None = None
    ordered_s: float | None = None
    exception: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One sentence, and what to do: a command, words, or empty when nothing is to be done."""

    sentence: str
    next_step: str = ""


def errors_of(document: object) -> list[tuple[str, str]]:
    """(member, message) of the errors in what a node says of itself; others are left out."""
    told = document.get("errors") if isinstance(document, dict) else None
    return [
        (str(one.get("member") or ""), str(one["message"]))
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, dict) and one.get("message")
    ]


def advise(seen: Seen) -> Advice:
    """Of the rules below the first that has something to say."""
    return next(advice for rule in _RULES if (advice := rule(seen)))


def _container(seen: Seen) -> Advice | None:
    if seen.container is not False:
        return None
    return Advice(
        sentence="The node's container does not run.", next_step=f"vct node start {seen.name}"
    )


def _not_enrolled(seen: Seen) -> Advice | None:
    """The set state is debug as long as the controller cannot reach and check the node."""
    if seen.set_state != NodeSetState.DEBUG:
        return None
    lacks = [
        words
        for words, there in (("its tinc key", seen.has_key), ("its API", seen.has_api))
        if there is False
    ]
    what = " and ".join(lacks) or "its tinc key or its API"
    return Advice(
        sentence=f"The controller keeps the node in debug: it does not know {what}.",
        next_step=f"vct node create {seen.name}",
    )


def _broken(seen: Seen) -> Advice | None:
    if seen.set_state == NodeSetState.FAILURE:
        return Advice(
            sentence="The node was declared broken in the controller, it must not run slivers.",
            next_step="once it is repaired, move it to safe on its page in the controller",
        )
    if seen.state == NodeState.FAILURE:
        return Advice(
            sentence=f"The node gave up{_reason(seen)}; the controller tells it {seen.set_state}.",
            next_step=_log(seen),
        )
    return None


def _silent(seen: Seen) -> Advice | None:
    """Nobody has a state of it: how far does one come?"""
    if seen.state not in (NodeState.OFFLINE, NodeState.CRASHED):
        return None
    since = f" {_ago(seen.contact_s)}" if seen.contact_s is not None else ""
    if seen.management:
        return Advice(
            sentence="The node answers in the management network, but its agent does not.",
            next_step=_log(seen),
        )
    runs = seen.local or (seen.container and seen.management is False and seen.local is None)
    if runs:
        return Advice(
            sentence="The node runs, but cannot be reached in the management network.",
            next_step=f"vct node exec {seen.name} pgrep -a tincd; vct controller log",
        )
    if seen.container and seen.local is False:
        return Advice(
            sentence="The node's container runs, but nothing in it answers.",
            next_step=f"vct node console {seen.name}; vct node restart {seen.name}",
        )
    if seen.state == NodeState.CRASHED:
        sentence = f"The node has fetched no orders for two hours{_heard(since)}."
    else:
        words = f": {_short(seen.exception)}" if seen.exception else ""
        sentence = f"The node did not answer when it was asked{_heard(since)}{words}"
        sentence += "" if sentence.endswith(".") else "."
    return Advice(sentence=sentence, next_step=f"vct node info {seen.name}")


def _unasked(seen: Seen) -> Advice | None:
    if seen.state == NodeState.NODATA:
        return Advice(
            sentence="The controller has not asked the node recently.",
            next_step="wait a minute; then: vct controller log",
        )
    if seen.state == NodeState.UNKNOWN and seen.contact_s is None and not seen.exception:
        return Advice(
            sentence="The controller has not heard of the node yet.",
            next_step=f"wait until it has started: vct node info {seen.name}",
        )
    if seen.state not in set(NodeState) or seen.state == NodeState.UNKNOWN:
        return Advice(
            sentence="What answers at the node's address did not say what state it is in.",
            next_step=_log(seen),
        )
    return None


def _wrong(seen: Seen) -> Advice | None:
    """The node itself says that something is wrong."""
    if seen.state == NodeState.DEBUG:
        reason = _reason(seen) or ": it does not say what"
        return Advice(
            sentence=f"The node finds its configuration wrong or not complete{reason}.",
            next_step=_log(seen) if not seen.errors else f"correct that; then: {_log(seen)}",
        )
    if seen.errors:
        more = f" (and {len(seen.errors) - 1} more)" if len(seen.errors) > 1 else ""
        return Advice(
            sentence=f"The node is in {seen.state}, but has an error{_reason(seen)}{more}.",
            next_step=_log(seen),
        )
    return None


def _late(seen: Seen) -> Advice | None:
    """It was told something else than it is."""
    if seen.state == seen.set_state:
        return None
    told = f"The node was told {seen.set_state}{_since(seen.ordered_s)}"
    if seen.ordered_s is not None and seen.ordered_s <= SOON_S:
        return Advice(
            sentence=f"{told} and is still in {seen.state}: it does that within seconds.",
            next_step=f"vct node info {seen.name}",
        )
    return Advice(
        sentence=f"{told} and is still in {seen.state}: it has not followed that order yet.",
        next_step=_log(seen),
    )


def _well(seen: Seen) -> Advice:
    """State and set state are the same, and nothing is wrong."""
    if seen.management is False:
        return Advice(
            sentence=f"The node said {seen.state}{_heard(' ' + _ago(seen.contact_s))}, but does not"
            " answer in the management network now.",
            next_step=f"vct node info {seen.name}",
        )
    if seen.state == NodeState.SAFE:
        return Advice(
            sentence="The node works and was told safe: its slivers are stopped.",
            next_step="to run slivers: move it to production on its page in the controller",
        )
    return Advice(sentence="The node works and runs slivers.")


_RULES: tuple[Callable[[Seen], Advice | None], ...] = (
    _container,
    _not_enrolled,
    _broken,
    _silent,
    _unasked,
    _wrong,
    _late,
    _well,
)


def _log(seen: Seen) -> str:
    return f"vct node exec {seen.name} tail -n 20 /persist/log/agent.log"


def _reason(seen: Seen) -> str:
    if not seen.errors:
        return ""
    member, message = seen.errors[0]
    return f": {_short(f'{member}: {message}' if member else message)}"


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= TEXT_MAX else f"{line[: TEXT_MAX - 1]}…"


def _heard(since: str) -> str:
    return f" (heard of{since})" if since.strip() else ""


def _since(seconds: float | None) -> str:
    return "" if seconds is None else f" {_ago(seconds)}"


def _ago(seconds: float | None) -> str:
    """`20 s ago`; a clock that jumped back counts as now."""
    if seconds is None:
        return ""
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
