"""From what the user wrote to what it means: defaults, overrides, and checks across the file.

Called by `vct.model.load` once every value is right by itself. Knows no YAML but the places.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vct.model.problems import Path, Problem, fail
from vct.model.testbed import Controller, Link, Management, Node, Segment, Testbed
from vct.model.units import shorten
from vct.model.written import (
    WrittenLink,
    WrittenNode,
    WrittenNodeDefaults,
    WrittenQuality,
    WrittenTestbed,
)
from vct.model.yamltext import Tree
from vct.names import DIRECT_INTERFACES_MAX, render_node_set
from vct.quality import JITTER_MAX_US, Quality, render_time

MEANING = {"memory": "memory_mib", "disk": "disk_mib"}
QUALITY = {"delay": "delay_us", "jitter": "jitter_us", "loss": "loss_ppm", "rate": "rate_bps"}


def resolve_testbed(written: WrittenTestbed, tree: Tree, source: str) -> Testbed:
    """The testbed that is meant. Raises InputError for what does not fit together."""
    checks = _Checks(tree, sorted(written.nodes or {}))
    links = _links(written.links or [], checks)
    segments = _segments(written, checks)
    management = _management(written, checks)
    fail(checks.problems, source)
    defaults = written.defaults.node if written.defaults else None
    return Testbed(
        name=written.name,
        nodes=tuple(
            _node(node, defaults, body) for node, body in sorted((written.nodes or {}).items())
        ),
        links=links,
        segments=segments,
        controller=_controller(written),
        management=management,
        source=source,
    )


class _Checks:
    """Problems found so far, the nodes there are, and the interfaces that each has used."""

    def __init__(self, tree: Tree, nodes: Sequence[str]) -> None:
        self.tree = tree
        self.nodes = frozenset(nodes)
        self.sorted_nodes = nodes
        self.used: Counter[str] = Counter()
        self.problems: list[Problem] = []

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        place = self.tree.find(path).place
        problem = Problem(place=place, path=path, message=message, hint=hint)
        if problem not in self.problems[-1:]:  # what holds both ways is checked for each
            self.problems.append(problem)

    def joins(self, node: str, path: Path) -> None:
        """A node gets one more direct interface, by what stands at `path`."""
        if node not in self.nodes:
            self.problem(path, f"there is no node {node}", self.nodes_like(node))
        self.used[node] += 1
        if self.used[node] == DIRECT_INTERFACES_MAX + 1:
            self.problem(
                path,
                f"node {node} has more than {DIRECT_INTERFACES_MAX} links and segments",
                "a segment takes one interface for many neighbours",
            )

    def unique(self, seen: dict[str, int], name: str, path: Path, noun: str) -> None:
        line = self.tree.find(path).place.line
        if name in seen:
            self.problem(
                path,
                f"there are two {noun}s named {name}",
                f"the first is on line {seen[name]}; give one another name",
            )
        seen.setdefault(name, line)

    def nodes_like(self, node: str) -> str:
        if not self.nodes:
            return "this file has no nodes"
        nodes = render_node_set(self.sorted_nodes)
        if len(nodes) > 40:
            near = difflib.get_close_matches(node, self.sorted_nodes, n=3, cutoff=0.5)
            nodes = f"{shorten(nodes)}" + (f"; nearest: {', '.join(near)}" if near else "")
        return f"nodes of this file: {nodes}"


def _node(node: str, defaults: WrittenNodeDefaults | None, body: WrittenNode | None) -> Node:
    given: dict[str, Any] = {}
    for part in (defaults, body):
        if part is not None:
            given |= part.model_dump(exclude_unset=True)
    if "position" in given:
        given["position"] = (given["position"][0], given["position"][1])
    return Node(id=node, **{MEANING.get(key, key): value for key, value in given.items()})


def _controller(written: WrittenTestbed) -> Controller | None:
    """There is one as soon as the key is."""
    if "controller" not in written.model_fields_set:
        return None
    given: dict[str, Any] = written.controller.model_dump(exclude_unset=True)
    if "templates" in given:
        given["templates"] = tuple(given["templates"])
    return Controller(**{MEANING.get(key, key): value for key, value in given.items()})


def _management(written: WrittenTestbed, checks: _Checks) -> Management:
    """How nodes are reached; which node is in the mesh by which gateway is checked here, too."""
    given = written.management.model_dump(exclude_unset=True) if written.management else {}
    management = Management(**{**given, "gateways": tuple(given.get("gateways", ()))})
    path: Path = ("management",)
    if written.management and "controller" not in written.model_fields_set:
        checks.problem(path, "a testbed without a controller has no management network", _ONE)
    for index, node in enumerate(management.gateways):
        place: Path = (*path, "gateways", index)
        if node not in checks.nodes:
            checks.problem(place, f"there is no node {node}", checks.nodes_like(node))
        elif node in management.gateways[:index]:
            checks.problem(place, f"node {node} is here twice", "name each gateway once")
        elif management.backend == "native":
            checks.problem(place, "a native management network has no gateways", _TINC)
    for node, body in sorted((written.nodes or {}).items()):
        _check_gateway(node, body.gateway if body else "", management, checks)
    return management


_ONE = "write controller: {}, or leave management: out"
_TINC = "they are tinc's: write backend: tinc, or leave them out"


def _check_gateway(node: str, gateway: str, management: Management, checks: _Checks) -> None:
    path: Path = ("nodes", node, "gateway")
    if gateway and gateway not in management.gateways:
        hint = f"write management: {{gateways: [{json.dumps(gateway)}]}}"
        if management.gateways:
            hint = f"gateways of this file: {render_node_set(management.gateways)}"
        checks.problem(path, f"node {gateway} is no gateway", hint)
    elif gateway and node in management.gateways:
        checks.problem(
            path, "a gateway is in the mesh by itself", "leave its gateway: out, or name it no more"
        )


def _links(written: Sequence[WrittenLink], checks: _Checks) -> tuple[Link, ...]:
    seen: dict[str, int] = {}
    taken = {link.name for link in written if link.name}
    links = []
    for index, link in enumerate(written):
        path: Path = ("links", index)
        a, b = link.between
        checks.joins(a, (*path, "between", 0))
        if a == b:
            checks.problem(
                (*path, "between", 1), f"a link from {a} to itself", "name two different nodes"
            )
        else:
            checks.joins(b, (*path, "between", 1))
        if link.name:
            checks.unique(seen, link.name, (*path, "name"), "link")
        name = link.name or _default_name(min(a, b), max(a, b), taken)
        taken.add(name)
        qualities = {way: _quality(link, path, way, checks) for way in ("forward", "backward")}
        links.append(Link(name=name, a=a, b=b, **qualities))
    return tuple(links)


def _default_name(low: str, high: str, taken: set[str]) -> str:
    name, number = f"{low}-{high}", 1
    while name in taken:
        number += 1
        name = f"{low}-{high}.{number}"
    return name


def _quality(link: WrittenLink, path: Path, way: str, checks: _Checks) -> Quality:
    """One direction: the link's own values, overridden key by key by those of the direction."""
    direction: WrittenQuality | None = getattr(link, way)
    own = direction.model_fields_set if direction else set()
    quality = Quality(
        **{field: getattr(direction if key in own else link, key) for key, field in QUALITY.items()}
    )
    if quality.jitter_us > quality.delay_us:
        place: Path = (*path, way, "jitter") if "jitter" in own else (*path, "jitter")
        hint = "jitter goes either way from the delay: write at most the delay"
        jitter, delay = render_time(quality.jitter_us), render_time(quality.delay_us)
        checks.problem(place, f"jitter {jitter} is more than delay {delay}", hint)
    elif quality.jitter_us > JITTER_MAX_US:
        place = (*path, way, "jitter") if "jitter" in own else (*path, "jitter")
        most = render_time(JITTER_MAX_US)
        checks.problem(
            place, f"jitter {render_time(quality.jitter_us)} is too much", f"at most {most}"
        )
    return quality


def _segments(written: WrittenTestbed, checks: _Checks) -> tuple[Segment, ...]:
    seen: dict[str, int] = {}
    segments = []
    for index, segment in enumerate(written.segments or []):
        path: Path = ("segments", index)
        checks.unique(seen, segment.name, (*path, "name"), "segment")
        for number, node in enumerate(segment.members):
            place: Path = (*path, "members", number)
            if node in segment.members[:number]:
                checks.problem(place, f"node {node} is here twice", "name each member once")
            else:
                checks.joins(node, place)
        segments.append(Segment(name=segment.name, members=tuple(segment.members)))
    return tuple(segments)
