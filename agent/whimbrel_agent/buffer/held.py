"""Events that were answered and are in memory only, within their lane's durability window.

What this is: where they wait until they are sealed or written as staged rows, found by the id that
their staged row will have. What it is not: the order of a lane (``StagedLane`` has the slots). The
rule it keeps: little memory, whatever comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.staging import Pack, Stamp
from whimbrel_protocol.event import Event

MAX_HELD_BYTES: Final = 384 * 1024
"""Packed, in all lanes together; as objects about ten times that. Two frames' worth of common
events: one that fills up, and one that is being sealed. What comes on top is written at once."""


MAX_WINDOW_S: Final = 60.0
"""The longest durability window: what may be lost must stay a matter of "the last minute", and a
batch is full or a card has had its rest by then (a longer one writes hardly less)."""

FULL_DURABILITY: Final = "every answered event is fsynced"
"""What is promised without any window."""


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What would be a staged row, and is not on the disk."""

    epoch: int
    first: int
    stamp: Stamp
    pack: Pack

    @property
    def events(self) -> Sequence[Event]:
        """Its events, whose sequences follow each other from ``first``."""
        return self.pack.events


@dataclass(frozen=True, slots=True)
class WindowStats:
    """A lane's durability window, for status.

    Attributes:
        durability_s: the window in force; 0: every event is durable when it is answered.
        held_events, held_bytes: what is in memory only now, within that window.
        held_s: how long the oldest of it has been there; None without any.
        lost_events: how many events the unclean stop before this start took at most.
        decision: what was decided last about what waits in the lane, and why.
    """

    durability_s: float = 0.0
    held_events: int = 0
    held_bytes: int = 0
    held_s: float | None = None
    lost_events: int = 0
    decision: str = ""


class Held:
    """The rows that are in memory only, by the id they will have."""

    def __init__(self) -> None:
        self._rows: dict[int, HeldRow] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row_id: int, row: HeldRow) -> None:
        """Keep a row; whoever puts it has looked for room."""
        self._rows[row_id] = row
        self.size_bytes += len(row.pack.rows)

    def get(self, row_id: int) -> HeldRow:
        """Return a row that is here."""
        return self._rows[row_id]

    def drop(self, row_ids: Iterable[int]) -> None:
        """Forget rows that are on the disk now, in one form or another."""
        for row_id in row_ids:
            self.size_bytes -= len(self._rows.pop(row_id).pack.rows)

    def pages(self, page_bytes: int) -> int:
        """Estimate from above the pages that all of it takes when it is written as staged rows."""
        return pages_of(self.size_bytes, len(self._rows), page_bytes)


def pages_of(size_bytes: int, rows: int, page_bytes: int) -> int:
    """Estimate from above the pages that so many bytes in so many staged rows take."""
    return size_bytes // (page_bytes - 64) + 2 * rows
