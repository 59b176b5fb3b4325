"""How far the region's clock is from ours, from four timestamps (RFC 5905 section 8).

Only a value for status and for reconciling times later: no clock is ever set from it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

SAMPLES: Final = 8
"""The least delayed of so many is the most honest one (RFC 5905's clock filter)."""

MAX_DELAY_NS: Final = 60_000_000_000
"""A round trip beyond this says more about queues than about clocks."""


@dataclass(frozen=True, slots=True)
class OffsetSample:
    """Region minus device, and the round trip without the region's own time, nanoseconds.

    The true offset is within ``offset_ns`` plus or minus half of ``delay_ns``.
    """

    offset_ns: int
    delay_ns: int


class ClockOffset:
    """The latest samples and the best of them."""

    def __init__(self) -> None:
        self._samples: deque[OffsetSample] = deque(maxlen=SAMPLES)

    @property
    def best(self) -> OffsetSample | None:
        """The sample with the least delay, None before the first."""
        return min(self._samples, key=lambda sample: sample.delay_ns, default=None)

    def add(self, sent_ns: int, received_ns: int, answered_ns: int, now_ns: int) -> bool:
        """Take one exchange: our send, its receive, its answer, our receive; wall clocks.

        Returns False when it is not plausible (a clock was set in between) and was not taken.
        """
        delay_ns = (now_ns - sent_ns) - (answered_ns - received_ns)
        if not 0 <= delay_ns <= MAX_DELAY_NS or answered_ns < received_ns:
            return False
        offset_ns = ((received_ns - sent_ns) + (answered_ns - now_ns)) // 2
        self._samples.append(OffsetSample(offset_ns, delay_ns))
        return True
