"""Drivers that only remember: one for every kind, with the real ones' protocol, for tests.

A `FakeWorld` is what exists. Things go with their namespaces there as they do in the kernel. A
fault makes one step fail after it has had its effect, the worst moment there is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vct.errors import RefusedError
from vct.plan.things import (
    KINDS,
    Bridge,
    Fabric,
    NodeNetwork,
    Port,
    Shaping,
    Thing,
    Wire,
)

T = TypeVar("T", bound=Thing)


@dataclass
class FakeWorld:
    """What exists, what was done (`create fabric vct-ring`), and what is to go wrong.

    `faults` maps such words to the exception that this step raises, each time. `foreign` are
    things, as `fabric vct-ring`, in whose place stands something that is not ours.
    """

    things: list[Thing] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    faults: dict[str, BaseException] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def drop(self, thing: Thing) -> None:
        """Remove a thing, and what goes with it."""
        self.things = [
            other
            for other in self.things
            if (type(other), other.key) != (type(thing), thing.key) and not _goes(other, thing)
        ]

    def put(self, thing: Thing) -> None:
        """Add a thing in place of the one that had its kind and key."""
        self.things = [
            other for other in self.things if (type(other), other.key) != (type(thing), thing.key)
        ]
        self.things.append(thing)


class FakeDriver(Generic[T]):
    """One kind's part of a world."""

    def __init__(self, kind: type[T], world: FakeWorld, *, workers: int = 1) -> None:
        self.kind = kind
        self.workers = workers
        self._world = world

    def observe(self) -> list[T]:
        return [thing for thing in self._world.things if isinstance(thing, self.kind)]

    def claim(self, thing: T) -> None:
        if str(thing) in self._world.foreign:
            raise RefusedError(f"{thing} exists and is not ours")

    def create(self, thing: T) -> None:
        with self._world.lock:
            self._world.put(thing)
            self._did(f"create {thing}")

    def change(self, was: T, thing: T) -> None:
        with self._world.lock:
            if isinstance(thing, Wire):  # its interfaces are made anew
                self._world.drop(was)
            self._world.put(thing)
            self._did(f"change {thing}")

    def delete(self, thing: T) -> None:
        with self._world.lock:
            self._world.drop(thing)
            self._did(f"delete {thing}")

    def _did(self, what: str) -> None:
        self._world.done.append(what)
        if what in self._world.faults:
            raise self._world.faults[what]


def fake_drivers(world: FakeWorld, *, workers: int = 1) -> dict[type[Thing], FakeDriver[Thing]]:
    """A fake for every kind, all of one world."""
    return {kind: FakeDriver[Thing](kind, world, workers=workers) for kind in KINDS}


def _goes(thing: Thing, gone: Thing) -> bool:
    """Whether the kernel removes a thing together with another."""
    match thing, gone:
        case Bridge(), Fabric():
            return True
        case Port(end=end), NodeNetwork(namespace=namespace):
            return end.namespace == namespace
        case Wire(device="veth", a=a, b=b), NodeNetwork(namespace=namespace):
            return any(end is not None and end.namespace == namespace for end in (a, b))
        case Shaping(source_namespace=source, sink_namespace=sink), NodeNetwork():
            return gone.namespace in (source, sink)
        case Shaping(link=link), Wire():
            return link == gone.link
    return False
