"""A testbed's state as a value with stable field names: what `status`, `node` and `link` print.

Made from what is wanted, what was seen and who answers; pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from vct import names
from vct.model.testbed import Link, Node, Segment, Testbed
from vct.plan.things import (
    Container,
    Controller,
    End,
    Port,
    Relay,
    RelayLink,
    Shaping,
    Thing,
    Wire,
)
from vct.quality import UNSHAPED, Quality


class NodeState(StrEnum):
    """What a node is doing."""

    READY = "ready"
    STARTING = "starting"
    STOPPED = "stopped"
    ABSENT = "absent"


STATE_SENTENCES: Mapping[NodeState, str] = {
    NodeState.READY: "its ssh server answers",
    NodeState.STARTING: "it runs, but its ssh server does not answer (yet): vct node console",
    NodeState.STOPPED: "it was halted: vct init or vct node start brings it back",
    NodeState.ABSENT: "it was never made, or removed: vct init makes it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfineStatus:
    """A node as a member of the controller's testbed.

    `address` is that in the management network, `rtt_ms` the round trip from the controller.
    `set_state` is what it is told to be, `state` what it says it is, `known` what the controller
    last heard of it: words of vct.wire.states, empty where nobody says. `sentence` says why it is
    in its state, `next_step` what to do (empty: nothing).
    """

    address: str
    backend: str
    gateway: str
    reachable: bool
    rtt_ms: float | None
    set_state: str
    state: str
    known: str
    sentence: str
    next_step: str
    errors: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether it can be reached and is what it is told to be."""
        return self.reachable and self.state == self.set_state


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node. `reason` says why it is in its state and what to do next; `confine` is None where
    there is no controller."""

    id: str
    state: NodeState
    reason: str
    hostname: str
    image: str
    arch: str
    memory_mib: int
    disk_mib: int
    address: str
    rescue: str
    link_address: str
    mac: str
    namespace: str
    interfaces: dict[str, str] = field(default_factory=dict)
    confine: ConfineStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerStatus:
    """The controller. States are a node's; `reason` says why, and what to do next."""

    state: NodeState
    reason: str
    url: str
    hostname: str
    image: str
    arch: str
    memory_mib: int
    disk_mib: int
    address: str
    rescue: str
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of a link: what was asked for, and what is applied now."""

    wanted: str
    applied: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """One link. `engine` is none, netem, kernel or relay. `ok`: applied is as wanted."""

    name: str
    a: str
    a_interface: str
    b: str
    b_interface: str
    ok: bool
    engine: str
    forward: Direction
    backward: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStatus:
    """One segment. `ok`: all its members are joined to it as wanted."""

    name: str
    members: tuple[str, ...]
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedStatus:
    """A testbed. `differences` are the steps that `vct init` would do now; `controller` is None
    where there is none."""

    __test__ = False  # the name is the field's word, not a test of pytest's

    name: str
    ready: bool
    nodes: tuple[NodeStatus, ...]
    links: tuple[LinkStatus, ...]
    segments: tuple[SegmentStatus, ...]
    differences: tuple[str, ...]
    controller: ControllerStatus | None = None

    def document(self) -> dict[str, object]:
        """JSON-able, fields as above."""
        return asdict(self)


def testbed_status(
    testbed: Testbed,
    wanted: Iterable[Thing],
    seen: Iterable[Thing],
    silent: Mapping[str, str],
    differences: Iterable[str],
    controller: ControllerStatus | None,
    members: Mapping[str, ConfineStatus],
) -> TestbedStatus:
    """The state of a testbed; `silent` holds what was seen of nodes that do not answer ssh,
    `members` how they stand with the controller, by id."""
    want, have = list(wanted), list(seen)
    nodes = tuple(_node(node, want, have, silent, members.get(node.id)) for node in testbed.nodes)
    links = tuple(_link(link, want, have) for link in testbed.links)
    segments = tuple(_segment(segment, want, have) for segment in testbed.segments)
    return TestbedStatus(
        name=testbed.name,
        ready=all(node.state is NodeState.READY for node in nodes)
        and all(link.ok for link in links)
        and all(segment.ok for segment in segments)
        and (controller is None or controller.state is NodeState.READY)
        and all(node.confine is None or node.confine.well for node in nodes),
        nodes=nodes,
        links=links,
        segments=segments,
        differences=tuple(differences),
        controller=controller,
    )


CONTROLLER_SENTENCES: Mapping[NodeState, str] = {
    NodeState.READY: "it answers",
    NodeState.STARTING: "it runs, but does not answer (yet): vct controller log",
    NodeState.STOPPED: "it was halted: vct init starts it",
    NodeState.ABSENT: "it was never made, or removed: vct init makes it",
}


def controller_status(
    wanted: Iterable[Thing], seen: Iterable[Thing], url: str, ask: Callable[[str], str]
) -> ControllerStatus | None:
    """The controller as it is, if one is wanted. `ask` is called with its URL, if it runs: empty
    says that it is well."""
    want = next((thing for thing in wanted if isinstance(thing, Controller)), None)
    have = next((thing for thing in seen if isinstance(thing, Controller)), None)
    if want is None:
        return None
    said = ""
    if have is None:
        state = NodeState.ABSENT
    elif not have.running:
        state = NodeState.STOPPED
    else:
        said = ask(url)
        state = NodeState.STARTING if said else NodeState.READY
    return ControllerStatus(
        state=state,
        reason=CONTROLLER_SENTENCES[state] + (f" ({said})" if said else ""),
        url=url,
        hostname=want.hostname,
        image=(have or want).image,
        arch=want.arch,
        memory_mib=want.memory_mib,
        disk_mib=want.disk_mib,
        address=str(names.CONTROLLER_IPV4),
        rescue=str(names.controller_rescue_ipv6()),
        namespace=want.namespace,
    )


def _node(
    node: Node,
    wanted: list[Thing],
    seen: list[Thing],
    silent: Mapping[str, str],
    member: ConfineStatus | None,
) -> NodeStatus:
    want = next(t for t in wanted if isinstance(t, Container) and t.node == node.id)
    have = next((t for t in seen if isinstance(t, Container) and t.node == node.id), None)
    if have is None:
        state = NodeState.ABSENT
    elif not have.running:
        state = NodeState.STOPPED
    else:
        state = NodeState.STARTING if node.id in silent else NodeState.READY
    reason = STATE_SENTENCES[state]
    if state is NodeState.STARTING:
        reason += f" ({silent[node.id]})"
    return NodeStatus(
        id=node.id,
        state=state,
        reason=reason,
        hostname=want.hostname,
        image=(have or want).image,
        arch=node.arch,
        memory_mib=node.memory_mib,
        disk_mib=node.disk_mib,
        address=str(names.local_ipv4(node.id)),
        rescue=str(names.rescue_ipv6(node.id)),
        link_address=str(names.link_ipv4(node.id)),
        mac=names.mac(0, node.id),
        namespace=want.namespace,
        interfaces=_interfaces(node.id, wanted),
        confine=member,
    )


def _interfaces(node: str, wanted: list[Thing]) -> dict[str, str]:
    """Interface to the link or segment that it is on, by number."""
    ends: list[tuple[str, End | None]] = []
    for thing in wanted:
        match thing:
            case Wire():
                ends += [(thing.link, thing.a), (thing.link, thing.b)]
            case Port():
                ends.append((thing.segment, thing.end))
    found = {end.interface: place for place, end in ends if end is not None and end.node == node}
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def _segment(segment: Segment, wanted: list[Thing], seen: list[Thing]) -> SegmentStatus:
    ports = [t for t in wanted if isinstance(t, Port) and t.segment == segment.name]
    return SegmentStatus(
        name=segment.name, members=segment.members, ok=all(port in seen for port in ports)
    )


def _link(link: Link, wanted: list[Thing], seen: list[Thing]) -> LinkStatus:
    want = next(t for t in wanted if isinstance(t, Wire) and t.link == link.name)
    have = next((t for t in seen if isinstance(t, Wire) and t.link == link.name), None)
    engine, forward, backward = applied_quality(link.name, seen)
    assert want.a is not None  # noqa: S101 - wanted wires have both ends
    assert want.b is not None  # noqa: S101
    return LinkStatus(
        name=link.name,
        a=link.a,
        a_interface=want.a.interface,
        b=link.b,
        b_interface=want.b.interface,
        ok=want == have and (forward, backward) == (link.forward, link.backward),
        engine=engine if have else "absent",
        forward=Direction(wanted=str(link.forward), applied=str(forward)),
        backward=Direction(wanted=str(link.backward), applied=str(backward)),
    )


def applied_quality(link: str, seen: Iterable[Thing]) -> tuple[str, Quality, Quality]:
    """Engine, forward and backward quality that a link has now."""
    engine, found = "none", {"forward": UNSHAPED, "backward": UNSHAPED}
    for thing in seen:
        match thing:
            case Shaping(link=name) if name == link:
                engine, found[thing.direction] = thing.engine, thing.quality
            case Relay(links=links):
                for carried in links:
                    if isinstance(carried, RelayLink) and carried.link == link:
                        return "relay", carried.forward, carried.backward
    return engine, found["forward"], found["backward"]
