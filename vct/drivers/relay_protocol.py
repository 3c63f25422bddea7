"""What is said over the relay's control socket: one JSON document a line, in both directions.

Requests are `{"do": "state"}` and `{"do": "set", "links": [...]}`; each answer is the state after
it, or `{"error": "..."}`. Standard library only: the relay process imports it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from vct.plan.things import RelayLink
from vct.quality import Quality

SOCKET, PID_FILE, LOG = "relay.sock", "relay.pid", "relay.log"  # in the testbed's run directory
QUALITIES = ("forward", "backward")


class ProtocolError(ValueError):
    """Something was said that has no meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One direction's traffic: what was delivered, and what was lost on purpose or for space."""

    packets: int = 0
    octets: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A link in the relay. `trouble` says why it is not attached, empty if it is."""

    link: RelayLink
    trouble: str
    forward: Counters
    backward: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayState:
    """The relay process and all its links."""

    testbed: str
    pid: int
    links: tuple[LinkState, ...]


def render_request(do: str, links: Iterable[RelayLink] | None = None) -> bytes:
    """A line that asks for the state, or sets the complete list of links."""
    request: dict[str, object] = {"do": do}
    if links is not None:
        request["links"] = [asdict(link) for link in links]
    return json.dumps(request).encode() + b"\n"


def parse_request(line: bytes) -> tuple[str, tuple[RelayLink, ...]]:
    """What is asked, and the links of a `set`. Raises ProtocolError."""
    request = _mapping(_document(line))
    do = _text(request, "do")
    if do not in ("state", "set"):
        raise ProtocolError(f"unknown request {do!r}")
    if do == "state":
        return do, ()
    links = tuple(_link(item) for item in _list(request, "links"))
    if len({link.link for link in links}) != len(links):
        raise ProtocolError("two links have the same name")
    return do, links


def render_state(state: RelayState) -> bytes:
    """The answer to a request that was understood."""
    return json.dumps(asdict(state)).encode() + b"\n"


def render_error(words: str) -> bytes:
    """The answer to one that was not."""
    return json.dumps({"error": words}).encode() + b"\n"


def parse_state(line: bytes) -> RelayState:
    """An answer. Raises ProtocolError, also with what the relay said was wrong."""
    answer = _mapping(_document(line))
    if "error" in answer:
        raise ProtocolError(_text(answer, "error"))
    links = [_mapping(item) for item in _list(answer, "links")]
    return RelayState(
        testbed=_text(answer, "testbed"),
        pid=_number(answer, "pid"),
        links=tuple(
            LinkState(
                link=_link(item.get("link")),
                trouble=_text(item, "trouble"),
                forward=_counters(item.get("forward")),
                backward=_counters(item.get("backward")),
            )
            for item in links
        ),
    )


def _document(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None


def _link(value: object) -> RelayLink:
    item = _mapping(value)
    words = [field.name for field in fields(RelayLink) if field.name not in QUALITIES]
    _only(item, {*words, *QUALITIES})
    return RelayLink(
        **{name: _text(item, name) for name in words},
        forward=_quality(item.get("forward")),
        backward=_quality(item.get("backward")),
    )


def _quality(value: object) -> Quality:
    item = _mapping(value)
    names = [field.name for field in fields(Quality)]
    _only(item, set(names))
    return Quality(**{name: _number(item, name) for name in names})


def _counters(value: object) -> Counters:
    item = _mapping(value)
    return Counters(**{field.name: _number(item, field.name) for field in fields(Counters)})


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ProtocolError("a mapping was expected")
    return value


def _only(item: Mapping[str, object], known: set[str]) -> None:
    if unknown := item.keys() - known:
        raise ProtocolError(f"unknown: {', '.join(sorted(unknown))}")


def _list(item: Mapping[str, object], name: str) -> list[object]:
    value = item.get(name)
    if not isinstance(value, list):
        raise ProtocolError(f"{name} must be a list")
    return value


def _text(item: Mapping[str, object], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{name} must be a string")
    return value


def _number(item: Mapping[str, object], name: str) -> int:
    value = item.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ProtocolError(f"{name} must be a whole number, not below zero")
    return value
