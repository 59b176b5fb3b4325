"""How long frames wait in queues on their way: RFC 6817's base delay and its filter. Pure.

The delay of a frame is its round trip without the time that the region says it held it (the receipt's
two stamps are of one clock): the way up, the way down, no commit. What is above the least delay of
the last minutes is queueing, ours and others' (section 2.4.2, ``BASE_HISTORY`` and ``CURRENT_FILTER``).

A large frame takes longer through a slow link than a small one and has waited for nobody. So the least
delay is kept by size, in powers of two; and since no frame is quicker than a smaller one, the least of
all sizes from its own upwards counts.
"""

from __future__ import annotations

from collections import deque
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


class Queueing:
    """The present queueing delay of one link."""

    def __init__(self) -> None:
        self._minutes: deque[dict[int, float]] = deque([{}], maxlen=BASE_HISTORY)
        self._minute_since_s = 0.0
        self._latest: deque[tuple[float, float]] = deque(maxlen=CURRENT_FILTER)

    def linked(self) -> None:
        """Begin on a new link, which may be another way."""
        self._minutes.clear()
        self._minutes.append({})
        self._latest.clear()

    def measured(self, size_bytes: int, delay_s: float, now_s: float) -> None:
        """Take the delay of a frame that was sent once."""
        if now_s - self._minute_since_s >= BASE_PERIOD_S:
            self._minutes.append({})
            self._minute_since_s = now_s
        size = size_bytes.bit_length()
        minute = self._minutes[-1]
        minute[size] = min(delay_s, minute.get(size, delay_s))
        self._latest.append((now_s, max(0.0, delay_s - self._base_of(size))))
        while self._latest[0][0] < now_s - FILTER_S:
            self._latest.popleft()

    @property
    def now_s(self) -> float | None:
        """The queueing delay; None before anything was measured."""
        return min((waited_s for _, waited_s in self._latest), default=None)

    @property
    def base_s(self) -> float | None:
        """The least delay of any frame in the history; None before anything was measured."""
        return min((least for minute in self._minutes for least in minute.values()), default=None)

    def _base_of(self, size: int) -> float:
        return min(
            least for minute in self._minutes for other, least in minute.items() if other >= size
        )
