"""The systems on a node's disk: the one that it boots, the one before, and one that is on trial.

Kept in systems.json in the node's directory. A node without that file was never updated: it boots
system 1, of the image that the testbed file names. Systems are numbered as they come; a number is
never given out again, so that a new system's writable layer is empty. fall-back.sh reads the file
too: one member a line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from vct.drivers.textfiles import read, write
from vct.errors import VctError
from vct.paths import NodePaths

FIRST = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """An image with a writable layer of its own on the node's disk.

    `image` is `name@digest`, for people; `root` the image's directory or squashfs file.
    """

    number: int
    image: str
    root: str
    arch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """What is on a node's disk. Numbers: 0 is none; `last` is the highest ever given out.

    `chosen_for` is the image that the testbed file named when the current system was chosen: as
    long as it names that one, the node keeps what it was updated to. Empty: it was never updated.
    """

    current: int = FIRST
    previous: int = 0
    trial: int = 0
    last: int = FIRST
    chosen_for: str = ""
    known: tuple[System, ...] = ()

    @property
    def kept(self) -> tuple[int, ...]:
        """The systems whose writable layers are not to be removed."""
        return tuple(sorted({self.current, self.previous, self.trial} - {0}))

    def system(self, number: int) -> System | None:
        """What is known of a system."""
        return next((system for system in self.known if system.number == number), None)

    def pinned(self, image: str, arch: str) -> System | None:
        """The current system, if it was chosen and the file has not named another image since."""
        now = self.system(self.current)
        return now if now and self.chosen_for == image and now.arch == arch else None

    def trying(self, now: System, new: System, chosen_for: str) -> Systems:
        """With `new` on trial; `now` is the current one, which is gone back to, and kept then."""
        others = [one for one in self.known if one.number == self.previous != new.number]
        return replace(
            self,
            trial=new.number,
            last=max(self.last, new.number),
            chosen_for=chosen_for,
            known=tuple(sorted((*others, now, new), key=lambda one: one.number)),
        )

    def taken(self) -> Systems:
        """With the one that was on trial as the current one."""
        both = [one for one in self.known if one.number in (self.current, self.trial)]
        return replace(
            self,
            current=self.trial,
            previous=self.current,
            trial=0,
            known=tuple(both),
        )

    def given_up(self) -> Systems:
        """Without the one that was on trial, unless it is the one before, tried once more."""
        kept = [one for one in self.known if one.number in (self.current, self.previous)]
        return replace(self, trial=0, known=tuple(kept))


def load_systems(paths: NodePaths) -> Systems:
    """What is recorded of a node's systems. Raises VctError for a record that is damaged."""
    text = read(paths.systems)
    if not text:
        return Systems()
    try:
        members = json.loads(text)
        known = tuple(System(**one) for one in members.pop("known"))
        return Systems(**members, known=known)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VctError(
            f"the record of a node's systems is damaged ({paths.systems}: {error})",
            hint=f"forget its updates: rm {paths.systems}; vct init",
        ) from None


def save_systems(paths: NodePaths, systems: Systems) -> None:
    """Record it, at one stroke and on the disk: after a power cut it says the one or the other."""
    write(paths.systems, json.dumps(asdict(systems), indent=1) + "\n", durable=True)
