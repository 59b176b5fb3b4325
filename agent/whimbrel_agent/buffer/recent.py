"""Events that were accepted a moment ago, kept in memory until they are sealed.

What this is: a way past reading back, unpacking and decoding rows that this process has just
written, which is an eighth of the work from acceptance to frame. What it is not: a store. The
rows are on the disk all the same; what is not here is read from there, and gives the same frame.
The rule it keeps: little memory, whatever comes. The oldest stay, since they are sealed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.staging import Pack, Stamp
from whimbrel_agent.buffer.state import StagedSlot
from whimbrel_protocol.event import Event

MAX_RECENT_BYTES: Final = 192 * 1024
"""Packed; as objects about ten times that. A frame's worth of common events and half of the next."""


@dataclass(frozen=True, slots=True)
class RecentRow:
    """A staged row whose events are still in memory."""

    epoch: int
    first: int
    stamp: Stamp
    events: tuple[Event, ...]
    size_bytes: int


class Recent:
    """The rows whose events are still in memory, by the id of the staged row."""

    def __init__(self) -> None:
        self._rows: dict[int, RecentRow] = {}
        self._size_bytes = 0

    def put(self, slot: StagedSlot, pack: Pack, stamp: Stamp) -> None:
        """Keep a row's events, if there is room."""
        if self._size_bytes + slot.size_bytes <= MAX_RECENT_BYTES:
            row = RecentRow(slot.epoch, slot.first, stamp, pack.events, slot.size_bytes)
            self._size_bytes += slot.size_bytes
            self._rows[slot.id] = row

    def take(self, slots: Sequence[StagedSlot]) -> list[RecentRow] | None:
        """Give up some rows; None when not all of them are here (those that were are gone)."""
        found = [row for slot in slots if (row := self._rows.pop(slot.id, None)) is not None]
        self._size_bytes -= sum(row.size_bytes for row in found)
        same = [(slot.epoch, slot.first, slot.events) for slot in slots] == [
            (row.epoch, row.first, len(row.events)) for row in found
        ]
        return found if same else None
