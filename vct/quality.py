"""What a link does to packets of one direction: a pure value, shared by model, plan and drivers.

Whole numbers in fixed units, so that what the kernel reports back compares equal to what was asked.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """One direction of a link. Zero means "not impaired"; a rate of zero is unlimited.

    `jitter_us` spreads the delay evenly by up to that much to both sides. Probabilities are in
    parts per million (1 % is 10,000).
    """

    delay_us: int = 0
    jitter_us: int = 0
    loss_ppm: int = 0
    rate_bps: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        return ", ".join(self.words()) or "unshaped"

    def words(self) -> list[str]:
        """The options as a user writes them: `delay 10ms`, `loss 1%`, `rate 54mbit`."""
        said = []
        if self.delay_us:
            said.append(f"delay {render_time(self.delay_us)}")
        if self.jitter_us:
            said.append(f"jitter {render_time(self.jitter_us)}")
        if self.loss_ppm:
            said.append(f"loss {render_share(self.loss_ppm)}")
        if self.rate_bps:
            said.append(f"rate {render_rate(self.rate_bps)}")
        return said


UNSHAPED = Quality()


JITTER_MAX_US = 2_000_000
"""More than this is not jitter; netem keeps it in 31 bits of nanoseconds."""


class Engine(StrEnum):
    """Who impairs a link: nobody, netem, the kernel's other means, or the relay in user space."""

    NONE = "none"
    NETEM = "netem"
    KERNEL = "kernel"
    RELAY = "relay"


def choose_engine(forward: Quality, backward: Quality, *, netem: bool) -> Engine:
    """The engine of a whole link, on a kernel with or without netem.

    Without netem the kernel can limit the rate and drop at random, but cannot delay: a link that
    is delayed either way is the relay's, both ways.
    """
    if not (forward or backward):
        return Engine.NONE
    if netem:
        return Engine.NETEM
    if any(way.delay_us or way.jitter_us for way in (forward, backward)):
        return Engine.RELAY
    return Engine.KERNEL


def render_time(microseconds: int) -> str:
    """`10ms`, `250us`, `1.5s`: the shortest exact form."""
    if microseconds >= 1_000_000 and microseconds % 100_000 == 0:
        return f"{microseconds / 1_000_000:g}s"
    if microseconds >= 1000:
        return f"{microseconds / 1000:.10g}ms"
    return f"{microseconds}us"


def render_share(parts_per_million: int) -> str:
    """`1%`, `0.5%`, `0.0001%`: exact."""
    return f"{parts_per_million / 10_000:.10g}%"


def render_rate(bits_per_second: int) -> str:
    """`54mbit`, `1gbit`, `512kbit`, `100bit`: the largest unit that stays a whole number."""
    for unit, size in (("gbit", 10**9), ("mbit", 10**6), ("kbit", 10**3)):
        if bits_per_second >= size and bits_per_second % size == 0:
            return f"{bits_per_second // size}{unit}"
    return f"{bits_per_second}bit"
