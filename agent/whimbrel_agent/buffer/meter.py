"""How fast something has gone lately. Pure.

Amounts are kept in slots of time, so that a rate costs a few hundred bytes whatever passes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SLOT_S: Final = 60.0
SLOTS: Final = 60
"""Together an hour: long enough for a till's quiet minutes, short enough to see a rush."""


class Meter:
    """Sums amounts over about the last hour; ``now_s`` is the monotonic clock."""

    def __init__(self) -> None:
        self._begun_s: float | None = None
        self._slots: deque[tuple[int, int]] = deque()

    def add(self, amount: int, now_s: float) -> None:
        """Note an amount."""
        if self._begun_s is None:
            self._begun_s = now_s
        slot = int(now_s // SLOT_S)
        if self._slots and self._slots[-1][0] == slot:
            amount += self._slots.pop()[1]
        self._slots.append((slot, amount))
        self._forget(slot)

    def per_s(self, now_s: float) -> float:
        """Return the rate over the last hour, or since the first amount if that is less."""
        if self._begun_s is None:
            return 0.0
        self._forget(int(now_s // SLOT_S))
        lasted_s = min(SLOT_S * SLOTS, max(SLOT_S, now_s - self._begun_s))
        return sum(amount for _, amount in self._slots) / lasted_s

    def _forget(self, slot: int) -> None:
        while self._slots and self._slots[0][0] <= slot - SLOTS:
            self._slots.popleft()
