"""Partitions that have something to deliver and may not: they wait here for their sink's breaker.

They hold no page in memory and no task while they wait, so that partitions of which nothing is to
be delivered (an unselected frame, a rung that leaves it out) pass meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from whimbrel_aggregator.journal.port import PartitionKey

from .gate import Gate

PROBE_S: Final = 1.0
"""How long a partition that was released as the probe may take to get to the gate, before another
one is tried: it may find that it has nothing to deliver any more."""

Release = Callable[[PartitionKey], None]
"""Puts a partition back into the queue."""


class BlockedPartitions:
    """The waiting partitions of one forwarder, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[PartitionKey] = deque()
        self._some = asyncio.Event()

    def add(self, partition: PartitionKey) -> None:
        """Let a partition wait."""
        self._waiting.append(partition)
        self._some.set()

    def release_all(self, release: Release) -> None:
        """Release all now."""
        while self._waiting:
            release(self._waiting.popleft())

    async def release(self, gate: Gate, release: Release) -> None:
        """Release one as the probe, and the others when the breaker is closed, until cancelled."""
        while True:
            await self._some.wait()
            every = await gate.opens()
            if every:
                self.release_all(release)
            elif self._waiting:
                release(self._waiting.popleft())
                await gate.changes(PROBE_S)
            if not self._waiting:
                self._some.clear()
