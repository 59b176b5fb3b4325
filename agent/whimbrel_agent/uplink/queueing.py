"""How long frames wait in queues on their way: RFC 6817's base delay and its filter. Pure.

The delay of a frame is its round trip without the time that the region says it held it (the receipt's
two stamps are of one clock): the way up, the way down, no commit. What is above the least delay of
the last minutes is queueing, ours and others' (section 2.4.2, ``BASE_HISTORY`` and ``CURRENT_FILTER``).

A large frame takes longer through a slow link than a small one and has waited for nobody: 65 ms for 16 KiB
at 2 Mbit/s, when the whole target is 25. So the least delay is kept by size, eight sizes to a power of two,
and since time grows by size in proportion, what counts is the lower edge of all of them: of each two, and
of what a line between them says of sizes in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final

BASE_HISTORY: Final = 10
"""Minutes of least delays, as RFC 6817 section 2.4.2 advises: a route that became longer is taken for
a queue this long at most."""

BASE_PERIOD_S: Final = 60.0

CURRENT_FILTER: Final = 4
"""The least of so many of the latest samples counts (section 2.4.2): one frame that was late by itself
is no queue."""

FILTER_S: Final = 0.1
"""And only those of so short a time: on a slow link four frames ago is another queue."""


_SIZE_BITS: Final = 4
"""Leading bits of a size that tell it from others: frames of one size by these differ by an eighth."""


_Point = tuple[int, float]
"""A frame's size and its delay in seconds."""


class Queueing:
    """The present queueing delay of one link."""

    def __init__(self) -> None:
        self._minutes: deque[dict[int, _Point]] = deque([{}], maxlen=BASE_HISTORY)
        self._edge: list[_Point] = []
        self._minute_since_s = 0.0
        self._latest: deque[tuple[float, float]] = deque(maxlen=CURRENT_FILTER)

    def linked(self) -> None:
        """Begin on a new link, which may be another way."""
        self._minutes.clear()
        self._minutes.append({})
        self._edge.clear()
        self._latest.clear()

    def measured(
        self, size_bytes: int, delay_s: float, now_s: float, rate_per_s: float = 0.0
    ) -> None:
        """Take the delay of a frame that was sent once.

        Args:
            size_bytes: of the frame.
            delay_s: of the frame.
            now_s: monotonic now.
            rate_per_s: the measured rate, bytes a second; 0 where none is known.
        """
        minute = self._minutes[-1]
        if now_s - self._minute_since_s >= BASE_PERIOD_S:
            minute = {}
            self._minutes.append(minute)
            self._minute_since_s = now_s
            self._edge.clear()
        size = _rounded(size_bytes)
        before = minute.get(size)
        if before is None or delay_s < before[1]:
            minute[size] = (size_bytes, delay_s)
            self._edge.clear()
        self._edge = self._edge or lower_edge(
            point for minute in self._minutes for point in minute.values()
        )
        self._latest.append((now_s, max(0.0, delay_s - self._base_of(size_bytes, rate_per_s))))
        while self._latest[0][0] < now_s - FILTER_S:
            self._latest.popleft()

    @property
    def now_s(self) -> float | None:
        """The queueing delay; None before anything was measured."""
        return min((waited_s for _, waited_s in self._latest), default=None)

    @property
    def base_s(self) -> float | None:
        """The least delay of any frame in the history; None before anything was measured."""
        return self._edge[0][1] if self._edge else None

    def _base_of(self, size_bytes: int, rate_per_s: float) -> float:
        """Return what a frame takes that waits for nobody."""
        at = bisect_left(self._edge, (size_bytes, -inf))
        if at == 0:
            return self._edge[0][1]
        smaller, quicker_s = self._edge[at - 1]
        by_rate_s = quicker_s + (size_bytes - smaller) / rate_per_s if rate_per_s else inf
        if at == len(self._edge):
            return min(quicker_s, by_rate_s)
        larger, slower_s = self._edge[at]
        part = (size_bytes - smaller) / (larger - smaller)
        return min(quicker_s + part * (slower_s - quicker_s), by_rate_s)


def lower_edge(points: Iterable[_Point]) -> list[_Point]:
    """Return the lower convex hull of sizes and delays, which never falls (A. M. Andrew, 1979).

    No frame is quicker than a smaller one, so that a larger one's delay bounds all smaller ones'.
    """
    edge: list[_Point] = []
    least_s = inf
    for size_bytes, delay_s in sorted(points, reverse=True):
        least_s = min(least_s, delay_s)
        if edge and edge[-1][0] == size_bytes:
            edge.pop()
        while len(edge) > 1 and not _bends(edge[-2], edge[-1], (size_bytes, least_s)):
            edge.pop()
        edge.append((size_bytes, least_s))
    return edge[::-1]


def _bends(larger: _Point, middle: _Point, smaller: _Point) -> bool:
    """Say whether the middle one lies below the line between the others."""
    (x2, y2), (x1, y1), (x0, y0) = larger, middle, smaller
    return (y1 - y0) * (x2 - x0) < (y2 - y0) * (x1 - x0)


def _rounded(size_bytes: int) -> int:
    shift = max(0, size_bytes.bit_length() - _SIZE_BITS)
    return size_bytes >> shift << shift
