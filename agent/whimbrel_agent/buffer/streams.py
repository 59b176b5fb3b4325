"""What is known of each stream, that is of each (epoch, lane): its settled sequences.

The newest 256 streams are kept after everything in them is settled, so that a resume can ask
about them and a restored region can be noticed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from whimbrel_agent.buffer.schema import row_sum
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_RESUME_STREAMS
from whimbrel_protocol.sequences import RangeSet

MAX_KEPT_STREAMS: Final = MAX_RESUME_STREAMS


@dataclass(slots=True)
class Stream:
    """One numbering.

    Attributes:
        epoch, lane: its name.
        sealed_through: the last sequence that went into a frame; staged ones follow it.
        settled: sequences whose fate is final.
        pending_frames: how many frames wait for receipts (not stored: counted at start).
    """

    epoch: int
    lane: int
    sealed_through: int = 0
    settled: RangeSet = field(default_factory=RangeSet)
    pending_frames: int = 0


class Streams:
    """All streams, in memory; :meth:`flush` writes those that changed."""

    def __init__(self) -> None:
        self._streams: dict[tuple[int, int], Stream] = {}
        self._changed: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[Stream]:
        return iter(sorted(self._streams.values(), key=lambda s: (s.epoch, s.lane)))

    def get(self, epoch: int, lane: int) -> Stream | None:
        """Return a stream, if it is known."""
        return self._streams.get((epoch, lane))

    def change(self, epoch: int, lane: int) -> Stream:
        """Return a stream, made if new, that will be written at the next flush."""
        key = (epoch, lane)
        self._changed.add(key)
        if key not in self._streams:
            self._streams[key] = Stream(epoch, lane)
        return self._streams[key]

    def load(self, connection: sqlite3.Connection) -> list[str]:
        """Read all streams; return what is wrong with them."""
        self._streams.clear()
        self._changed.clear()
        problems = []
        for epoch, lane, through, settled, total in connection.execute(
            "SELECT epoch, lane, sealed_through, settled, sum FROM streams"
        ):
            try:
                ranges = RangeSet.from_bytes(settled)
            except RemoteProtocolError as error:
                problems.append(f"stream {epoch}/{lane}: {error}")
                ranges = RangeSet()
            if row_sum(epoch, lane, through, settled) != total:
                problems.append(f"stream {epoch}/{lane} has a wrong checksum")
            self._streams[epoch, lane] = Stream(epoch, lane, through, ranges)
        for epoch, lane, frames in connection.execute(
            "SELECT epoch, id >> 56, count(*) FROM pending GROUP BY 1, 2"
        ):
            stream = self._streams.get((epoch, lane))
            if stream is None:
                problems.append(f"stream {epoch}/{lane} has frames but no row")
            else:
                stream.pending_frames = frames
        return problems

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write what changed, inside the caller's transaction."""
        rows = []
        for key in sorted(self._changed):
            stream = self._streams[key]
            values = (*key, stream.sealed_through, stream.settled.to_bytes())
            rows.append((*values, row_sum(*values)))
        connection.executemany("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?)", rows)
        self._changed.clear()

    def forget_oldest(self, connection: sqlite3.Connection, *, keep_epochs: set[int]) -> None:
        """Drop streams past the newest 256 in which nothing is pending or staged."""
        idle = [s for s in self if not s.pending_frames and s.epoch not in keep_epochs]
        for stream in idle[: max(0, len(self._streams) - MAX_KEPT_STREAMS)]:
            connection.execute(
                "DELETE FROM streams WHERE epoch = ? AND lane = ?", (stream.epoch, stream.lane)
            )
            del self._streams[stream.epoch, stream.lane]
