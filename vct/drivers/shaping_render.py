"""Link qualities as the kernel's options for netem, tbf and a dropping filter, and back. Pure.

Every number survives the way to the kernel and back: netem keeps delays in nanoseconds and
probabilities in 2^32 steps; rates are octets per second there, so what a rate lacks to whole
octets is kept in the lowest bits of the queue's limit, a number that is ours to choose.
Layouts: linux/pkt_sched.h, linux/pkt_cls.h, linux/filter.h. Called by vct.drivers.shaping.
"""

from __future__ import annotations

import struct

from vct.drivers.rtnetlink_codec import attribute, attributes
from vct.quality import Quality

MILLION = 1_000_000
U32 = 2**32 - 1

NETEM = struct.Struct("=6I")  # tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter
NETEM_RATE = struct.Struct("=IiIi")  # tc_netem_rate: rate, three kinds of overhead
TCA_NETEM_RATE, TCA_NETEM_RATE64, TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64 = 6, 8, 10, 11
TICK_NS = 64  # net/pkt_sched.h, PSCHED_SHIFT

RATE_SPEC = struct.Struct("=BBHhHI")  # tc_ratespec; linklayer is the second
TBF = struct.Struct(f"={RATE_SPEC.size}s{RATE_SPEC.size}sIII")  # tc_tbf_qopt; limit is the third
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
LINKLAYER_ETHERNET = 1

INSTRUCTION = struct.Struct("=HBBI")  # sock_filter: code, jump if true, jump if false, k
TCA_BPF_OPS_LEN, TCA_BPF_OPS, TCA_BPF_FLAGS = 4, 5, 8
DIRECT_ACTION = struct.pack("=I", 1)  # the program's result is the verdict
LOAD_RANDOM = INSTRUCTION.pack(0x20, 0, 0, 0xFFFFF038)  # ld rand
SKIP_IF_BELOW, RETURN = 0x35, 0x06  # jge, ret
PASS = INSTRUCTION.pack(RETURN, 0, 0, U32)  # TC_ACT_UNSPEC: go on to others' filters
DROP = INSTRUCTION.pack(RETURN, 0, 0, 2)  # TC_ACT_SHOT

QUEUE_FRAMES = 1000  # netem's own default; frames under way come on top of it
FASTEST_BPS = 10**9  # what a link without a rate limit is expected to carry at most
SMALL_FRAME_BITS = 2000
MOST_FRAMES = 100_000  # some 200 MB of the kernel's memory
QUEUE_OCTETS = 32768  # at least this much may wait for a slow line,
QUEUE_S = 0.1  # and this long for a fast one
BURST_S = 0.001  # how late the kernel's timer may be without loss of rate


def render_netem(quality: Quality) -> bytes:
    """Options of a netem queueing discipline. Every field is given: a change keeps the others."""
    octets, rest = _whole_octets(quality.rate_bps)
    delay_ns, jitter_ns = quality.delay_us * 1000, quality.jitter_us * 1000
    speed_bps = min(quality.rate_bps or FASTEST_BPS, FASTEST_BPS)
    under_way = speed_bps * (quality.delay_us + quality.jitter_us) // MILLION // SMALL_FRAME_BITS
    limit = (min(QUEUE_FRAMES + under_way, MOST_FRAMES) & ~7) | rest
    loss = quality.loss_ppm * U32 // MILLION
    ticks = [min(time_ns // TICK_NS, U32) for time_ns in (delay_ns, jitter_ns)]
    return (
        NETEM.pack(ticks[0], limit, loss, 0, 0, ticks[1])
        + attribute(TCA_NETEM_RATE, NETEM_RATE.pack(min(octets, U32), 0, 0, 0))
        + attribute(TCA_NETEM_RATE64, struct.pack("=Q", octets))
        + attribute(TCA_NETEM_LATENCY64, struct.pack("=q", delay_ns))
        + attribute(TCA_NETEM_JITTER64, struct.pack("=q", jitter_ns))
    )


def parse_netem(options: bytes) -> Quality:
    """The quality behind options as render_netem made them and the kernel reports them."""
    latency, limit, loss, _, _, jitter = NETEM.unpack_from(options)
    more = attributes(options[NETEM.size :])
    octets = _number(more, TCA_NETEM_RATE64)
    if not octets and TCA_NETEM_RATE in more:
        octets = NETEM_RATE.unpack_from(more[TCA_NETEM_RATE])[0]
    return Quality(
        delay_us=round(_number(more, TCA_NETEM_LATENCY64, latency * TICK_NS) / 1000),
        jitter_us=round(_number(more, TCA_NETEM_JITTER64, jitter * TICK_NS) / 1000),
        loss_ppm=round(loss * MILLION / U32),
        rate_bps=octets * 8 - limit % 8 if octets else 0,
    )


def render_tbf(rate_bps: int, mtu: int) -> bytes:
    """Options of a token bucket that lets one millisecond's worth pass at once, or two frames."""
    octets, rest = _whole_octets(rate_bps)
    burst = max(2 * (mtu + 18), int(octets * BURST_S))
    queue = max(QUEUE_OCTETS, int(octets * QUEUE_S))
    limit = (min(burst + queue, U32 >> 1) & ~7) | rest
    rate = RATE_SPEC.pack(0, LINKLAYER_ETHERNET, 0, 0, 0, min(octets, U32))
    return (
        attribute(TCA_TBF_PARMS, TBF.pack(rate, bytes(RATE_SPEC.size), limit, 0, 0))
        + attribute(TCA_TBF_BURST, struct.pack("=I", min(burst, U32)))
        + attribute(TCA_TBF_RATE64, struct.pack("=Q", octets))
    )


def parse_tbf(options: bytes) -> int:
    """The rate in bit/s behind options as render_tbf made them and the kernel reports them."""
    found = attributes(options)
    rate, _, limit, _, _ = TBF.unpack_from(found[TCA_TBF_PARMS])
    octets = _number(found, TCA_TBF_RATE64, RATE_SPEC.unpack(rate)[-1])
    return octets * 8 - int(limit) % 8


def render_drop(loss_ppm: int) -> bytes:
    """Options of a classic BPF filter that drops frames at random."""
    program = [DROP]
    if loss_ppm < MILLION:
        below = INSTRUCTION.pack(SKIP_IF_BELOW, 0, 1, (loss_ppm << 32) // MILLION)
        program = [LOAD_RANDOM, below, PASS, DROP]
    return (
        attribute(TCA_BPF_OPS_LEN, struct.pack("=H", len(program)))
        + attribute(TCA_BPF_OPS, b"".join(program))
        + attribute(TCA_BPF_FLAGS, DIRECT_ACTION)
    )


def parse_drop(options: bytes) -> int:
    """The loss in parts per million behind options of render_drop; 0 for any other program."""
    program = attributes(options).get(TCA_BPF_OPS, b"")
    if program == DROP:
        return MILLION
    if len(program) != 4 * INSTRUCTION.size or not program.startswith(LOAD_RANDOM):
        return 0
    threshold = int(INSTRUCTION.unpack_from(program, INSTRUCTION.size)[-1])
    return round(threshold * MILLION / 2**32)


def _whole_octets(rate_bps: int) -> tuple[int, int]:
    """A rate in octets/s, rounded up, and by how many bit/s (0-7) that is too much."""
    octets = -(-rate_bps // 8)
    return octets, octets * 8 - rate_bps


def _number(found: dict[int, bytes], kind: int, default: int = 0) -> int:
    """A 64-bit attribute; the kernel leaves out rates that fit into 32 bits."""
    return struct.unpack("=q", found[kind])[0] if kind in found else default
