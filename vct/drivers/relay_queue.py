"""One direction of a relayed link: which frames get through, and when each is due. Pure.

Time comes in as whole nanoseconds of any clock that does not go back, chance as a function that
returns 0 <= x < 1; so tests need neither a kernel nor luck. vct.drivers.relay_links calls it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from vct.quality import UNSHAPED, Quality

SECOND = 1_000_000_000
QUEUE_FRAMES = 65_536  # frames under way, whatever their delay
QUEUE_OCTETS = 32_768  # at least this much may wait for a slow line,
QUEUE_NS = 100_000_000  # and this long for a fast one


class Direction:
    """The queue of one direction. Frames keep their order, also under jitter.

    A frame first may be lost, then waits for the line (rate), then travels (delay and jitter).
    `packets` and `octets` count what came out, `dropped` what was lost or found no place.
    """

    __slots__ = (
        "_chance",
        "_delay_ns",
        "_jitter_ns",
        "_last_ns",
        "_line_free_ns",
        "_loss",
        "_ns_per_octet",
        "_patience_ns",
        "_queue",
        "dropped",
        "octets",
        "packets",
        "quality",
    )

    def __init__(
        self, quality: Quality = UNSHAPED, chance: Callable[[], float] = random.random
    ) -> None:
        self._chance = chance
        self._queue: deque[tuple[int, bytes]] = deque()
        self._last_ns = 0
        self._line_free_ns = 0
        self.packets = self.octets = self.dropped = 0
        self._set(quality)

    def __len__(self) -> int:
        return len(self._queue)

    def arrive(self, frame: bytes, now_ns: int) -> None:
        """Take a frame in, or drop it."""
        if (self._loss and self._chance() < self._loss) or len(self._queue) >= QUEUE_FRAMES:
            self.dropped += 1
            return
        at_ns = now_ns
        if self._ns_per_octet:
            at_ns = max(now_ns, self._line_free_ns)
            if at_ns - now_ns > self._patience_ns:
                self.dropped += 1
                return
            at_ns += int(len(frame) * self._ns_per_octet)
            self._line_free_ns = at_ns
        at_ns += self._delay_ns
        if self._jitter_ns:
            at_ns += int((2 * self._chance() - 1) * self._jitter_ns)
        self._last_ns = max(at_ns, self._last_ns)
        self._queue.append((self._last_ns, frame))

    def next_ns(self) -> int | None:
        """When the first frame is due; None if there is none."""
        return self._queue[0][0] if self._queue else None

    def take(self, now_ns: int) -> bytes | None:
        """The first frame if it is due; the caller takes until there is none."""
        if not self._queue or self._queue[0][0] > now_ns:
            return None
        frame = self._queue.popleft()[1]
        self.packets += 1
        self.octets += len(frame)
        return frame

    def undelivered(self, frame: bytes) -> None:
        """A frame that was taken found nobody to take it."""
        self.packets -= 1
        self.octets -= len(frame)
        self.dropped += 1

    def clear(self) -> None:
        """Drop what is under way."""
        self.dropped += len(self._queue)
        self._queue.clear()

    def change(self, quality: Quality, now_ns: int) -> None:
        """Go on with another quality. What is under way arrives no later than what comes now."""
        waiting_ns = max(0, self._line_free_ns - now_ns)
        before = self._ns_per_octet
        self._set(quality)
        # The same octets wait for the line, which now takes another time for each.
        waiting_ns = int(waiting_ns * self._ns_per_octet / before) if before else 0
        self._line_free_ns = now_ns + waiting_ns
        latest_ns = self._line_free_ns + self._delay_ns + self._jitter_ns
        self._queue = deque((min(at_ns, latest_ns), frame) for at_ns, frame in self._queue)
        self._last_ns = self._queue[-1][0] if self._queue else 0

    def _set(self, quality: Quality) -> None:
        self.quality = quality
        self._loss = quality.loss_ppm / 1_000_000
        self._delay_ns = quality.delay_us * 1000
        self._jitter_ns = quality.jitter_us * 1000
        self._ns_per_octet = 8 * SECOND / quality.rate_bps if quality.rate_bps else 0.0
        self._patience_ns = max(QUEUE_NS, int(QUEUE_OCTETS * self._ns_per_octet))
