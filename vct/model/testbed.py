"""What a testbed file means: resolved values, all defaults filled in, whole numbers, fixed units.

Everything after loading works on these; it never sees what the user wrote. No I/O, no YAML, no
pydantic: quick to import.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vct.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A research device. `position` is latitude and longitude in degrees; `gateway`, if any, the
    node by which it is in the management network."""

    id: str
    image: str = "node-debian"
    arch: str = "amd64"
    memory_mib: int = 256
    disk_mib: int = 512
    boot: str = "fast"
    position: tuple[float, float] | None = None
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A point-to-point link between nodes `a` and `b`; `forward` is what happens from a to b."""

    name: str
    a: str
    b: str
    forward: Quality = Quality()  # noqa: RUF009 - a frozen value
    backward: Quality = Quality()  # noqa: RUF009


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A layer-2 segment that two or more nodes share."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The testbed's controller: the container it runs in, and the sliver templates that it is
    given; None: the small Debian one, if that is built."""

    image: str = "controller"
    arch: str = "amd64"
    memory_mib: int = 256
    disk_mib: int = 1024
    templates: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """How the controller reaches the nodes: `tinc`, a mesh of its own, or `native`, straight over
    the local network. `gateways` are nodes by which others are in the mesh."""

    backend: str = "tinc"
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Testbed:
    """Nodes sorted by id, links and segments in the file's order.

    `source` is the file that it came from, for messages only, `fingerprint` how its text is known
    again (vct.model.textfile): they do not count in a comparison.
    """

    __test__ = False  # the name is the field's word, not a test of pytest's

    name: str
    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = ()
    segments: tuple[Segment, ...] = ()
    controller: Controller | None = None
    management: Management = Management()
    source: str = field(default="", compare=False)
    fingerprint: str = field(default="", compare=False)
