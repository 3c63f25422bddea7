"""Link shaping by the kernel: netem where there is one; else tbf for rate and a drop for loss.

Rate and delay are put on the sender's interface. Without netem, loss is put on the receiver's
ingress: a drop at egress is reported to the sending program, which then tries again. What is ours
is told by the interface's alias (`vct:<testbed>:link:<name>:a`, see vct.drivers.wire) and by the
handles in vct.drivers.shaping_kernel; others' queueing disciplines are refused and left alone.
What this kernel has is found out by vct.drivers.shaping_support.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from vct.drivers import netns
from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_messages import Interface
from vct.drivers.shaping_kernel import (
    CLSACT,
    NETEM,
    TBF,
    clear_drop,
    clear_root,
    foreign_root,
    interface,
    interfaces,
    loss,
    qdiscs,
    send_frames,
    set_drop,
    set_root,
)
from vct.drivers.shaping_render import parse_netem, parse_tbf, render_netem, render_tbf
from vct.drivers.shaping_support import has_netem, supports
from vct.errors import RefusedError, VctError
from vct.plan.things import Shaping
from vct.quality import JITTER_MAX_US, Engine, Quality, render_time

__all__ = ["ShapingDriver", "has_netem", "supports"]

SIDES = {"forward": ("a", "b"), "backward": ("b", "a")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEnd:
    """What shapes at one end of a link: what leaves it, and what is dropped on the way in."""

    namespace: str
    interface: str
    netem: Quality | None
    rate_bps: int
    loss_ppm: int


class Nodes(Protocol):
    """Where a testbed's nodes are; vct.drivers.network knows it."""

    @property
    def testbed(self) -> str: ...

    def node_namespaces(self) -> Mapping[str, str]:
        """Node id to namespace."""


class ShapingDriver:
    """Shapes the links of one testbed, each direction by itself."""

    kind = Shaping
    workers = 1  # a direction costs less than 1 ms, threads would only wait for each other

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._prefix = f"vct:{nodes.testbed}:link:"

    def observe(self) -> list[Shaping]:
        ends: dict[str, dict[str, SeenEnd]] = {}
        for namespace in self._nodes.node_namespaces().values():
            netlink = _open(namespace)
            if netlink is None:
                continue
            with netlink:
                for alias, end in self._seen_ends(netlink, namespace):
                    link, _, side = alias.removeprefix(self._prefix).rpartition(":")
                    ends.setdefault(link, {})[side] = end
        return [
            shaping
            for link, sides in sorted(ends.items())
            for direction in SIDES
            if (shaping := _seen_direction(link, direction, sides)) is not None
        ]

    def _seen_ends(self, netlink: Netlink, namespace: str) -> list[tuple[str, SeenEnd]]:
        marked = [seen for seen in interfaces(netlink) if seen.alias.startswith(self._prefix)]
        if not marked:
            return []
        found = qdiscs(netlink)
        return [
            (
                seen.alias,
                SeenEnd(
                    namespace=namespace,
                    interface=seen.name,
                    netem=parse_netem(options) if (options := own.get(NETEM)) else None,
                    rate_bps=parse_tbf(options) if (options := own.get(TBF)) else 0,
                    loss_ppm=loss(netlink, seen.index) if CLSACT in own else 0,
                ),
            )
            for seen in marked
            for own in [found.get(seen.index, {})]
        ]

    def claim(self, thing: Shaping) -> None:
        """Raises RefusedError when somebody else shapes the sender's interface."""
        netlink = _open(thing.source_namespace)
        if netlink is None:
            return
        with netlink:
            source = _marked(netlink, thing.source_interface, self._alias(thing, 0))
            if source is not None:
                _refuse_foreign(netlink, thing, source)

    def create(self, thing: Shaping) -> None:
        quality = thing.quality
        if thing.engine == Engine.KERNEL and (quality.delay_us or quality.jitter_us):
            raise VctError(
                f"{thing}: this kernel has no netem and cannot delay",
                hint="links with delay or jitter need the relay here; run: vct doctor",
            )
        if quality.jitter_us > JITTER_MAX_US:
            raise VctError(
                f"{thing}: netem cannot spread delays by {render_time(quality.jitter_us)}",
                hint=f"write a jitter of at most {render_time(JITTER_MAX_US)}",
            )
        with _opened(thing.source_namespace, thing) as netlink:
            source = self._find(netlink, thing.source_interface, self._alias(thing, 0), thing)
            _refuse_foreign(netlink, thing, source)
            if thing.engine == Engine.NETEM:
                set_root(netlink, source.index, "netem", NETEM, render_netem(quality))
            elif quality.rate_bps:
                options = render_tbf(quality.rate_bps, source.mtu)
                set_root(netlink, source.index, "tbf", TBF, options)
            else:
                clear_root(netlink, source.index)
            send_frames(netlink, source.index, singly=quality.loss_ppm > 0)
        with _opened(thing.sink_namespace, thing) as netlink:
            sink = self._find(netlink, thing.sink_interface, self._alias(thing, 1), thing)
            if thing.engine == Engine.KERNEL and quality.loss_ppm:
                set_drop(netlink, sink.index, quality.loss_ppm)
            else:
                clear_drop(netlink, sink.index)

    def change(self, was: Shaping, thing: Shaping) -> None:
        """The discipline is changed in place where its kind stays: frames in it are not lost."""
        ends = ("source_namespace", "source_interface", "sink_namespace", "sink_interface")
        if any(getattr(was, end) != getattr(thing, end) for end in ends):
            self.delete(was)
        self.create(thing)

    def delete(self, thing: Shaping) -> None:
        ends = (
            (thing.source_namespace, thing.source_interface, _clear_source),
            (thing.sink_namespace, thing.sink_interface, clear_drop),
        )
        for end, (namespace, name, clear) in enumerate(ends):
            netlink = _open(namespace)
            if netlink is None:
                continue
            with netlink:
                seen = _marked(netlink, name, self._alias(thing, end))
                if seen is not None:
                    clear(netlink, seen.index)

    def _alias(self, thing: Shaping, end: int) -> str:
        """The mark of the interface where the direction begins (0) or ends (1)."""
        return f"{self._prefix}{thing.link}:{SIDES[thing.direction][end]}"

    def _find(self, netlink: Netlink, name: str, alias: str, thing: Shaping) -> Interface:
        seen = _marked(netlink, name, alias)
        if seen is not None:
            return seen
        raise RefusedError(
            f"{thing}: there is no interface {name} with the mark {alias}",
            hint="something else took its place; run: vct init",
        )


def _open(namespace: str) -> Netlink | None:
    """A socket inside a namespace, None if there is no such namespace."""
    if not netns.namespace_inode(namespace) or netns.is_half_made(namespace):
        return None
    with netns.entered(namespace):
        return Netlink()


def _opened(namespace: str, thing: Shaping) -> Netlink:
    netlink = _open(namespace)
    if netlink is None:
        raise VctError(f"{thing}: there is no namespace {namespace}", hint="run: vct init")
    return netlink


def _marked(netlink: Netlink, name: str, alias: str) -> Interface | None:
    """An interface, if it is there and has our mark."""
    seen = interface(netlink, name)
    return seen if seen is not None and seen.alias == alias else None


def _clear_source(netlink: Netlink, index: int) -> None:
    clear_root(netlink, index)
    send_frames(netlink, index, singly=False)


def _refuse_foreign(netlink: Netlink, thing: Shaping, source: Interface) -> None:
    kind = foreign_root(netlink, source.index)
    if kind:
        raise RefusedError(
            f"{thing}: {source.name} of {thing.source_namespace} has a queueing discipline {kind} "
            "that is not ours",
            hint=f"remove it: tc -n {thing.source_namespace} qdisc del dev {source.name} root",
        )


def _seen_direction(link: str, direction: str, sides: dict[str, SeenEnd]) -> Shaping | None:
    source, sink = (sides.get(side) for side in SIDES[direction])
    if source is None or sink is None:
        return None  # half a link: the wire is made anew, and its shaping with it
    engines = [Engine.NETEM] if source.netem is not None else []
    if source.rate_bps or sink.loss_ppm:
        engines.append(Engine.KERNEL)
    if not engines:
        return None
    quality = source.netem or Quality(rate_bps=source.rate_bps, loss_ppm=sink.loss_ppm)
    return Shaping(
        link=link,
        direction=direction,
        source_namespace=source.namespace,
        source_interface=source.interface,
        sink_namespace=sink.namespace,
        sink_interface=sink.interface,
        engine="+".join(engines),  # two engines are never wanted, so they will be changed
        quality=quality,
    )
