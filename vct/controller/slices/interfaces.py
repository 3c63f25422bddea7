"""The rules for a sliver's interfaces, which are rules about all of them together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vct.wire.limits import (
    INTERFACE_NAME,
    INTERFACE_NAME_MAX,
    INTERFACE_NUMBER_LAST,
    ONE_OF_A_KIND,
    InterfaceType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface as it is asked for; `parent` is the name of a direct interface of the node."""

    nr: int
    type: InterfaceType
    name: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the node and the slice of a sliver say about interfaces."""

    direct: Collection[str]
    public_ipv4: bool
    allow_isolated: bool


USUAL = tuple(
    Interface(nr=kind.main_number, type=kind, name=kind.default_name)
    for kind in (InterfaceType.PRIVATE, InterfaceType.MANAGEMENT)
)


def problems(interfaces: Sequence[Interface], place: Place) -> list[dict[str, list[str]]]:
    """For each interface what is wrong by member, empty when it is good."""
    numbers = Counter(one.nr for one in interfaces)
    names = Counter(one.name for one in interfaces)
    found: list[dict[str, list[str]]] = []
    for one in interfaces:
        wrong: dict[str, list[str]] = {}
        if not 0 <= one.nr <= INTERFACE_NUMBER_LAST:
            wrong["nr"] = [f"Numbers go from 0 to {INTERFACE_NUMBER_LAST}."]
        elif numbers[one.nr] > 1:
            wrong["nr"] = ["Another interface has this number."]
        elif (one.nr == 0) != (one.type is InterfaceType.PRIVATE):
            wrong["nr"] = ["Number 0 is the private interface, and no other."]
        if not INTERFACE_NAME.fullmatch(one.name) or len(one.name) > INTERFACE_NAME_MAX:
            wrong["name"] = [f"Lower-case letters, then digits; at most {INTERFACE_NAME_MAX}."]
        elif names[one.name] > 1:
            wrong["name"] = ["Another interface has this name."]
        if words := _misplaced(one, place):
            wrong["parent_name" if one.type is InterfaceType.ISOLATED else "type"] = [words]
        found.append(wrong)
    return found


def problem_of_all(interfaces: Sequence[Interface]) -> str:
    """What is wrong with them together, empty when nothing is."""
    kinds = Counter(one.type for one in interfaces)
    if not kinds[InterfaceType.PRIVATE]:
        return "A sliver needs its private interface, number 0."
    for kind in ONE_OF_A_KIND:
        if kinds[kind] > 1:
            return f"A sliver has at most one {kind} interface."
    for kind in kinds:
        if not any(one.type is kind and one.nr == kind.main_number for one in interfaces):
            return f"One of the {kind} interfaces must have number {kind.main_number}."
    parents = Counter(one.parent for one in interfaces if one.parent)
    if parents and max(parents.values()) > 1:
        return "Each isolated interface needs a direct interface of its own."
    return ""


def _misplaced(one: Interface, place: Place) -> str:
    """Why the node or the slice cannot have it."""
    if one.type is not InterfaceType.ISOLATED:
        if one.parent:
            return "Only isolated interfaces have a parent."
        if one.type is InterfaceType.PUBLIC4 and not place.public_ipv4:
            return "The node has no public IPv4 addresses for slivers."
        return ""
    if not place.allow_isolated:
        return "The slice does not allow isolated interfaces."
    if one.parent not in place.direct:
        known = ", ".join(place.direct) or "none"
        return f"This must be one of the node's direct interfaces ({known})."
    return ""
