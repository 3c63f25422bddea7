"""What every driver can do, and how a driver tells what this host can do for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from vct.errors import VctError
from vct.plan.things import Thing

T = TypeVar("T", bound=Thing)
T_contra = TypeVar("T_contra", bound=Thing, contravariant=True)

Problems = dict[str, OSError | VctError]
"""What went wrong with some of many things, by their key."""


class Driver(Protocol[T]):
    """Makes, changes and unmakes one kind of thing of one testbed.

    `observe` is complete and changes nothing. `claim` raises RefusedError when something that is
    not ours stands where the thing would be; it is called for all things before the first is made.
    The other three do what the step says or raise; they are safe to repeat after a crash in their
    middle, and `delete` of what is gone is no error. `workers` is how many steps of this kind may
    be done side by side.
    """

    kind: type[T]
    workers: int

    def observe(self) -> list[T]: ...
    def claim(self, thing: T) -> None: ...
    def create(self, thing: T) -> None: ...
    def change(self, was: T, thing: T) -> None: ...
    def delete(self, thing: T) -> None: ...


@runtime_checkable
class MakesMany(Protocol[T_contra]):
    """A driver that makes many things in less time than one after the other.

    `create_many` does for each thing what `create` does. It returns what went wrong, empty if all
    are made; it raises only what concerns them all. Those that failed may be half-made, like after
    a `create` that raised.
    """

    def create_many(self, things: Sequence[T_contra]) -> Problems: ...


def create_one(driver: MakesMany[T], thing: T) -> None:
    """A `create` by means of `create_many`."""
    for problem in driver.create_many([thing]).values():
        raise problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """One finding about this host, for `vct doctor` and for errors.

    `fix` says how to get it, for people; `packages` (Debian's) and `modules` (the kernel's) are
    what `vct doctor --fix` installs and loads for it.
    """

    what: str
    found: bool
    detail: str
    without: str
    fix: str = ""
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    required: bool = True
