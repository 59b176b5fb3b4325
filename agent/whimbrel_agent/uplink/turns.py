"""Whose turn it is among the lanes: urgent first, and nobody starves.

Stride scheduling (C. Waldspurger, W. Weihl, "Stride Scheduling: Deterministic
Proportional-Share Resource Management", MIT 1995): each lane has a pass value that grows by the
bytes it sent over its weight; the lowest pass is next, the more urgent lane when equal. A lane
that was idle joins at the present pass, so it neither waits for nor makes up for lost time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from whimbrel_agent.buffer.values import default_lanes
from whimbrel_protocol.lanes import LANES

SHARES: Final[Mapping[str, int]] = {name: lane.share for name, lane in default_lanes().items()}
"""Of a full link: bulk keeps 1/85 of it beside three busy lanes, critical has 3/4."""

MAX_SHARE: Final = 1000
"""The least lane then still has one byte in three thousand."""


class Turns:
    """Deals out sends among lanes.

    Args:
        shares: of each lane, in proportion to those of the other busy ones; lanes left out have
            the usual ones.
    """

    def __init__(self, shares: Mapping[str, int] | None = None) -> None:
        self.shares: Mapping[str, int] = {**SHARES, **(shares or {})}
        self._pass = dict.fromkeys(LANES, 0.0)
        self._present = 0.0
        self._waiting: frozenset[str] = frozenset()

    def order(self, waiting: Collection[str]) -> list[str]:
        """Return the lanes that have something to send, in the order of their turns."""
        joined = frozenset(waiting) - self._waiting
        for lane in joined:
            self._pass[lane] = max(self._pass[lane], self._present)
        self._waiting = frozenset(waiting)
        return sorted(waiting, key=lambda lane: (self._pass[lane], LANES.index(lane)))

    def sent(self, lane: str, size_bytes: int) -> None:
        """Charge a lane for what it sent."""
        self._present = self._pass[lane]
        self._pass[lane] += size_bytes / self.shares[lane]
