"""What an update of nodes would do: which system each would try beside the one that it has.

Looks at nodes and images, and changes nothing. Called by vct.verbs.node_update.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vct import names
from vct.build.store import DIRECTORY, Image, find_image, read_image
from vct.drivers.containers import ContainerDriver
from vct.drivers.disk_image import MIB, free_bytes
from vct.drivers.lxc_config import INIT
from vct.drivers.node_systems import System, Systems, load_systems
from vct.errors import RefusedError, UsageError
from vct.model.testbed import Node
from vct.paths import TestbedPaths
from vct.plan.things import Container, NodeNetwork
from vct.verbs.testbed import Prepared

ROOM_MIB = 4  # what a new system needs of a node's disk to boot
DIGEST_PART = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The system that a node is to try: of which image, and its number; 0 for one to be made."""

    label: str
    root: Path
    number: int = 0


Choose = Callable[[Node, Systems], Goal]
"""Chooses the system that a node is to try. Raises RefusedError where there is none for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An update of one node. `now` is what it goes back to, `new` the trial; `trying` is the record
    that says so."""

    node: str
    now: Container
    new: Container
    trying: Systems

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return (self.new.root, self.new.system) != (self.now.root, self.now.system)


# --- choosing ------------------------------------------------------------------------------------


def to_image(images: Path, name: str = "") -> Choose:
    """To the image of this name as it is now; without a name, the one in the testbed file."""

    def choose(node: Node, _systems: Systems) -> Goal:
        return _goal(find_image(images, name or node.image, node.arch), node)

    return choose


def to_digest(images: Path, digest: str) -> Choose:
    """To the image in the store with this digest, of which the first six digits may do."""
    image = _by_digest(images, digest)

    def choose(node: Node, _systems: Systems) -> Goal:
        return _goal(image, node)

    return choose


def to_previous(node: Node, systems: Systems) -> Goal:
    """To the system before the present one, with all that was written in it."""
    previous = systems.system(systems.previous)
    if previous is None:
        raise RefusedError(
            f"node {node.id} has no system to go back to",
            hint="it has one after an update: vct node update",
        )
    if previous.arch != node.arch or not Path(previous.root).exists():
        raise RefusedError(
            f"node {node.id} cannot go back: the image {previous.image} is gone",
            hint="build it again, then: vct node update --to DIGEST",
        )
    return Goal(label=previous.image, root=Path(previous.root), number=previous.number)


def _by_digest(images: Path, digest: str) -> Image:
    if not DIGEST_PART.fullmatch(digest):
        raise UsageError(f"{digest!r} is not a digest", hint="it has 6 to 64 hex digits")
    found = sorted(path.name for path in (images / "store").glob(f"{digest}*"))
    if len(found) != 1:
        number = "no image" if not found else f"{len(found)} images"
        raise UsageError(f"{number} in the store with {digest}", hint="see: vct image list")
    return read_image(images, found[0])


def _goal(image: Image, node: Node) -> Goal:
    label = f"{image.name}@{image.digest[:12]}"
    if image.arch != node.arch:
        raise RefusedError(
            f"the image {label} is for {image.arch}, node {node.id} is {node.arch}",
            hint=f"build it: vct build {image.name} --arch {node.arch}",
        )
    if image.format == DIRECTORY and not os.path.lexists(image.path / INIT.lstrip("/")):
        raise RefusedError(
            f"the image {label} is not one of vct's nodes: it has no {INIT}",
            hint="choose another, see: vct image list",
        )
    return Goal(label=label, root=image.path)


# --- planning ------------------------------------------------------------------------------------


def plan_updates(
    paths: TestbedPaths, prepared: Prepared, node_set: str, choose: Choose
) -> tuple[Update, ...]:
    """The updates of the nodes of a set. Raises RefusedError before anything is begun."""
    testbed = prepared.applied.testbed
    chosen = names.parse_node_set(node_set, [node.id for node in testbed.nodes])
    if not any(isinstance(thing, NodeNetwork) for thing in prepared.seen):
        raise RefusedError(f"testbed {paths.name} is not up", hint="bring it up: vct init")
    seen = {thing.node: thing for thing in prepared.seen if isinstance(thing, Container)}
    want = {thing.node: thing for thing in prepared.wanted if isinstance(thing, Container)}
    updates = []
    for node in testbed.nodes:
        if node.id not in chosen:
            continue
        have = seen.get(node.id)
        if have is None or not have.arch:
            raise RefusedError(f"node {node.id} was never started", hint="make it: vct init")
        systems = load_systems(paths.node(node.id))
        job = _plan(node, want[node.id], have, systems, choose(node, systems))
        if job.changes:
            _check_room(paths, job)
        updates.append(job)
    return tuple(updates)


def _plan(node: Node, want: Container, have: Container, systems: Systems, goal: Goal) -> Update:
    # What runs may be older than what the file's image is by now. What is on trial is no base.
    now = want if have.fallback else replace(want, image=have.image, root=have.root)
    now = replace(now, running=have.running)
    number = goal.number or (now.system if goal.root == Path(now.root) else systems.last + 1)
    new = replace(
        now,
        image=goal.label,
        root=str(goal.root),
        system=number,
        fallback=f"{now.system}:{now.root}",
        running=True,
    )
    trying = systems.trying(_system(now), _system(new), node.image)
    return Update(node=node.id, now=now, new=new, trying=trying)


def _system(thing: Container) -> System:
    return System(number=thing.system, image=thing.image, root=thing.root, arch=thing.arch)


def _check_room(paths: TestbedPaths, job: Update) -> None:
    """Refuse early what could only fall back."""
    free = _free_bytes(paths, job.node)
    if free < ROOM_MIB * MIB:
        raise RefusedError(
            f"the disk of node {job.node} is full ({free // MIB} MiB free, {ROOM_MIB} needed)",
            hint="delete files in the node, or give it a larger disk (disk: in the testbed file)",
        )


def _free_bytes(paths: TestbedPaths, node: str) -> int:
    _, pid = ContainerDriver(paths).state(node)
    with suppress(FileNotFoundError):  # it has just ended
        status = os.statvfs(f"/proc/{pid}/root")  # of an overlay: its writable layer's
        return status.f_bavail * status.f_frsize
    return free_bytes(paths.node(node).disk_image)
