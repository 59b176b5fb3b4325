"""The account of every event ever accepted here: delivered, gapped for a reason, or pending.

Kept per lane, in the same transaction as what it accounts. ``accepted`` counts what was
sealed; what is staged comes on top, so that an accept writes no counter. The identity
``accepted == delivered + gapped + pending`` holds at every commit, and ``verify`` recomputes
its right side from the rows.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Final

from whimbrel_agent.buffer.schema import row_sum
from whimbrel_agent.buffer.values import LedgerLine
from whimbrel_protocol.lanes import LANES, GapReason

ACCEPTED: Final = -1
DELIVERED: Final = 0
"""Outcomes besides the gap reasons, which count from 1."""


class Ledger:
    """The counters, in memory; :meth:`flush` writes those that changed."""

    def __init__(self) -> None:
        self._events: defaultdict[tuple[int, int], int] = defaultdict(int)
        self._changed: set[tuple[int, int]] = set()

    def add(self, lane: int, outcome: int, events: int) -> None:
        """Add ``events`` (may be negative) to an outcome of a lane."""
        if events:
            self._events[lane, outcome] += events
            self._changed.add((lane, outcome))

    def move(self, lane: int, events: int, *, out_of: int, into: int) -> None:
        """Move events from one outcome to another."""
        self.add(lane, out_of, -events)
        self.add(lane, into, events)

    def load(self, connection: sqlite3.Connection) -> list[str]:
        """Read all counters; return what is wrong with them."""
        self._events.clear()
        self._changed.clear()
        problems = []
        for lane, outcome, events, total in connection.execute(
            "SELECT lane, outcome, events, sum FROM ledger"
        ):
            if row_sum(lane, outcome, events) != total:
                problems.append(f"ledger of lane {lane}, outcome {outcome} has a wrong checksum")
            self._events[lane, outcome] = events
        return problems

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write what changed, inside the caller's transaction."""
        connection.executemany(
            "INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?)",
            [
                (lane, outcome, events, row_sum(lane, outcome, events))
                for lane, outcome in sorted(self._changed)
                for events in (self._events[lane, outcome],)
            ],
        )
        self._changed.clear()

    def line(self, lane: int, *, staged: int, pending: int) -> LedgerLine:
        """Return a lane's account; staged events count as accepted and pending."""
        return LedgerLine(
            lane=LANES[lane],
            accepted=self._events[lane, ACCEPTED] + staged,
            delivered=self._events[lane, DELIVERED],
            gapped={r: n for r in GapReason if (n := self._events[lane, int(r)])},
            pending=pending + staged,
        )
