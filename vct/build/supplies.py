"""What one image's build gets from the mirror, in its own directory: lists, sources, pins.

The lists are hard links to those of the shared snapshot, so nobody can change them meanwhile.
Called by the builder before the first layer that needs packages; pins come from a lock file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from vct.build import bill, mirror
from vct.build.apt import AptSource
from vct.build.bill import Package
from vct.build.lock import Locked, LockError
from vct.build.mirror import Snapshot

Exclusive = Callable[[str], AbstractContextManager[object]]
"""Given a key, a lock that other builds' supplies with the same key wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """Where a build's packages come from. `directory` is the build's own."""

    snapshot: Snapshot
    directory: Path
    locked: Locked | None = None

    @property
    def used(self) -> tuple[AptSource, ...]:
        return self.snapshot.used

    @property
    def lists(self) -> Path:
        return self.directory / "lists"

    @property
    def wanted_list(self) -> Path:
        """The sources.list of the image: all that was asked for, without passwords."""
        return self.directory / "wanted.list"

    def options(self) -> list[str]:
        """Lines of apt.conf(5): the way to the mirror, and pins if there are any."""
        lines = [*self.snapshot.options]
        if self.locked is not None:
            lines += [
                f'Dir::Etc::preferences "{self.directory / "preferences"}";',
                'Dir::Etc::preferencesparts "/dev/null";',
            ]
        return lines

    def outside(self) -> list[str]:
        """More lines, for the host's apt on a root: these lists and sources, no others."""
        return [
            f'Dir::State::lists "{self.lists}";',
            f'Dir::Etc::sourcelist "{self.directory / "sources.list"}";',
            'Dir::Etc::sourceparts "/dev/null";',
        ]

    def digests(self, packages: Iterable[Package]) -> dict[tuple[str, str, str], str]:
        """The sha256 of packages' .deb files, as the lists have them."""
        return bill.deb_digests(list(packages), self.directory / "lookup.conf")

    def offered(self, names: Iterable[str]) -> dict[tuple[str, str, str], str]:
        """All versions that the lists have of packages, with their .deb files' sha256."""
        return bill.offered(list(names), self.directory / "lookup.conf")


def gather(
    sources: tuple[AptSource, ...],
    arch: str,
    *,
    check_dates: bool,
    cache: Path,
    directory: Path,
    exclusive: Exclusive,
    warn: Callable[[str], None],
    locked: Locked | None = None,
    not_before: float = 0.0,
) -> Supplies:
    """Make `directory` with what a build needs. Lists from before `not_before` are fetched anew.

    Raises MirrorError.
    """
    with exclusive(mirror.key_of(sources, arch, check_dates=check_dates)):
        snapshot = mirror.snapshot(
            sources,
            arch,
            cache=cache,
            check_dates=check_dates,
            not_before=not_before,
            warn=warn,
        )
        (directory / "lists" / "partial").mkdir(parents=True)
        for path in snapshot.lists.iterdir():
            if path.is_file() and path.name != "lock":
                os.link(path, directory / "lists" / path.name)
    (directory / "sources.list").write_text("".join(f"{one}\n" for one in snapshot.used))
    (directory / "wanted.list").write_text("".join(f"{one.public}\n" for one in sources))
    (directory / "status").touch()
    (directory / "cache").mkdir()
    (directory / "lookup.conf").write_text(mirror.render_update_conf(directory, arch, ()))
    if locked is not None:
        (directory / "preferences").write_text(locked.preferences())
    return Supplies(snapshot=snapshot, directory=directory, locked=locked)


def check_lock(supplies: Supplies, present: Iterable[Package]) -> None:
    """Raises LockError when the mirror has not what is locked; `present` is there already."""
    locked = supplies.locked
    if locked is None:
        return
    there = {(one.name, one.version) for one in present}
    wanted = [
        name for name, (version, _) in locked.packages.items() if (name, version) not in there
    ]
    faults = locked.missing(
        supplies.offered(wanted)
        | {(*pair, ""): locked.packages[pair[0]][1] for pair in there if pair[0] in locked.packages}
    )
    if faults:
        raise LockError(locked.name, locked.arch, faults)


def check_result(locked: Locked | None, packages: Iterable[Package]) -> None:
    """Raises LockError when other packages came out than are locked."""
    faults = locked.deviations(packages) if locked is not None else []
    if locked is not None and faults:
        raise LockError(locked.name, locked.arch, faults)
