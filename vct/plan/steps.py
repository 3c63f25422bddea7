"""What will be done: steps, each with its reason and its inverse, and their order.

`diff` is a pure function of two sets of things; it cannot look at anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from vct.plan.things import (
    KEEPSAKES,
    KINDS,
    Bridge,
    Fabric,
    NodeNetwork,
    Port,
    Relay,
    Shaping,
    Thing,
    Wire,
)

_Place = tuple[type[Thing], str]


class Action(StrEnum):
    """What a step does to its thing."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change: `thing` as it will be (or, for a delete, as it was), and why.

    `was` is the thing before a change. A step that is `implied` needs no doing: what it deletes
    goes with something that is deleted too, and faster than by itself.
    """

    action: Action
    thing: Thing
    reason: str
    was: Thing | None = None
    implied: bool = False

    def __str__(self) -> str:
        return f"{self.action} {self.thing} ({self.reason})"

    @property
    def kind(self) -> type[Thing]:
        return type(self.thing)

    def inverse(self) -> Step | None:
        """The step that takes this one back; None where users' data was deleted for good, and
        where what was there was damaged: it is not damaged again."""
        reason = f"undo: {self.action}"
        match self.action:
            case Action.CREATE:
                return Step(action=Action.DELETE, thing=self.thing, reason=reason)
            case Action.CHANGE if self.was is not None and self.was.restorable:
                return Step(action=Action.CHANGE, thing=self.was, was=self.thing, reason=reason)
            case Action.DELETE if self.kind not in KEEPSAKES and self.thing.restorable:
                return Step(action=Action.CREATE, thing=self.thing, reason=reason)
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are done. An empty plan means: all is as wanted."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def stages(self) -> list[tuple[Step, ...]]:
        """Runs of neighbouring steps with one action and kind: these may be done side by side."""
        stages: list[list[Step]] = []
        for step in self.steps:
            if stages and (stages[-1][0].action, stages[-1][0].kind) == (step.action, step.kind):
                stages[-1].append(step)
            else:
                stages.append([step])
        return [tuple(stage) for stage in stages]


def diff(wanted: Iterable[Thing], seen: Iterable[Thing]) -> Plan:
    """The steps from `seen` to `wanted`: deletes in unmaking order, then changes and creates in
    making order, deletes of users' data last. Every step carries its reason."""
    want = {(type(thing), thing.key): thing for thing in wanted}
    found = {(type(thing), thing.key): thing for thing in seen}
    have = _without_bared(want, found)
    bared = [_bared(thing, have.get(place)) for place, thing in found.items()]
    deletes = _mark_implied(thing for place, thing in have.items() if place not in want)
    makes = [
        Step(action=Action.CREATE, thing=thing, reason="missing")
        for place, thing in want.items()
        if place not in have
    ]
    changes = [
        Step(action=Action.CHANGE, thing=thing, was=old, reason="; ".join(different))
        for place, thing in want.items()
        if (old := have.get(place)) is not None and (different := thing.differences(old))
    ]
    taken = [step for step in bared if step is not None]
    return Plan(tuple(sorted(deletes + taken + makes + changes, key=_order)))


def _without_bared(
    want: Mapping[_Place, Thing], have: Mapping[_Place, Thing]
) -> dict[_Place, Thing]:
    """What is seen, less what goes with the interfaces of links that will be made anew: their
    shaping, and their place in the relay."""
    bared = {
        thing.link
        for place, thing in have.items()
        if isinstance(thing, Wire) and place in want and want[place] != thing
    }
    left: dict[_Place, Thing] = {}
    for place, thing in have.items():
        match thing:
            case Shaping(link=link) if link in bared:
                continue
            case Relay(links=links) if place in want:
                kept = tuple(carried for carried in links if carried.link not in bared)
                left[place] = replace(thing, links=kept)
            case _:
                left[place] = thing
    return left


def _bared(thing: Thing, left: Thing | None) -> Step | None:
    """What happens to a thing when the interfaces under it go. Nobody has to do this; who takes
    back the change of the link takes it back last."""
    reason = "goes with its link's interfaces"
    if left is None:
        return Step(action=Action.DELETE, thing=thing, reason=reason, implied=True)
    if left != thing:
        return Step(action=Action.CHANGE, thing=left, was=thing, reason=reason, implied=True)
    return None


def _mark_implied(things: Iterable[Thing]) -> list[Step]:
    """Deletes of these things. Interfaces go with their namespaces: the kernel removes those of a
    whole namespace together, while one veth pair by itself takes it 20 ms."""
    gone = list(things)
    namespaces = {thing.namespace for thing in gone if isinstance(thing, NodeNetwork | Fabric)}
    fabric_goes = any(isinstance(thing, Fabric) for thing in gone)

    def implied(thing: Thing) -> bool:
        match thing:
            case Bridge():
                return fabric_goes
            case Port(end=end):
                return end.namespace in namespaces
            case Wire(device="veth", a=a, b=b):
                return any(end is not None and end.namespace in namespaces for end in (a, b))
            case Shaping(source_namespace=source, sink_namespace=sink):
                return source in namespaces or sink in namespaces
        return False

    return [
        Step(
            action=Action.DELETE,
            thing=thing,
            reason="goes with its namespace" if implied(thing) else "not wanted",
            implied=implied(thing),
        )
        for thing in gone
    ]


def _order(step: Step) -> tuple[int, int, str]:
    rank = KINDS.index(step.kind)
    if step.action is not Action.DELETE and not step.implied:
        # A changed thing frees what a new one of its kind may need.
        return (1, 2 * rank + (step.action is Action.CREATE), step.thing.key)
    return (2 if step.kind in KEEPSAKES else 0, -rank, step.thing.key)
