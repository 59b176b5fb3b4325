"""Reads a region's journal file while the world runs, a few frames at a time.

It uses the protocol package and SQLite alone, so that an error in the aggregator's own reading
cannot hide one in its writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.dictionaries import (
    Dictionaries,
    Dictionary,
    named_dictionary,
)
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import Frame, open_frame
from whimbrel_protocol.lanes import LANES

OFFSET_BITS: Final = 40  # a frame's rowid is its partition's id << 40 | its offset

_FRAMES: Final = """
    SELECT frames.id, partitions.tenant, partitions.store, devices.device, streams.epoch,
        streams.lane, frames.fork, frames.first, frames.span, frames.reason, frames.data
    FROM frames JOIN streams ON streams.id = frames.stream
    JOIN devices ON devices.id = streams.device
    JOIN partitions ON partitions.id = devices.partition
    WHERE frames.id > ? AND frames.id < ? ORDER BY frames.id
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame as the journal has it; ``frame`` is None when its bytes are no frame."""

    where: str
    epoch: int
    lane: str
    fork: bool
    first: int
    span: int
    reason: int
    data: bytes
    frame: Frame | None
    fault: str = ""
    dictionaries: Dictionaries = field(default_factory=dict)

    def events(self) -> list[Event]:
        """Decode its events; raises ProtocolError."""
        if self.frame is None or not self.frame.header.count:
            return []
        return decode_events(self.frame.columns, self.dictionaries)

    def gaps(self) -> Iterator[tuple[int, int, int]]:
        """Yield first, count and reason of what it says will never come."""
        if self.frame is None or self.reason:
            yield self.first, self.span, self.reason
            return
        for gap in self.frame.header.gaps:
            yield self.first + gap.offset, gap.count, gap.reason


class Witness:
    """A reader of one journal file, from its beginning or from where another one stopped."""

    def __init__(self, path: Path, read_to: dict[int, int] | None = None) -> None:
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        self._connection.execute("PRAGMA query_only = 1")
        self._newest = dict(read_to or {})
        self._dictionaries: dict[bytes, Dictionary] = {}

    def new_frames(self) -> Iterator[Kept]:
        """Yield what came since the last call, partition by partition in order.

        Raises:
            sqlite3.Error: the file is no journal.
        """
        for (partition,) in self._rows("SELECT id FROM partitions ORDER BY id"):
            newest = self._newest.get(partition, partition << OFFSET_BITS)
            for row in self._rows(_FRAMES, (newest - 1, (partition + 1) << OFFSET_BITS)):
                kept = self._with_dictionary(_kept(row))  # may fail: it is then read again
                self._newest[partition] = row[0] + 1
                yield kept

    def _with_dictionary(self, kept: Kept) -> Kept:
        """Give a frame the dictionary that it names, which must be durable since the frame is."""
        name = b"" if kept.frame is None else named_dictionary(kept.frame.columns)
        if not name:
            return kept
        if name not in self._dictionaries:
            question = "SELECT content FROM dictionaries WHERE name = ?"
            for (content,) in self._connection.execute(question, (name,)).fetchall():
                self._dictionaries[name] = Dictionary(content)
        return replace(kept, dictionaries=self._dictionaries)

    def _rows(self, question: str, given: tuple[int, ...] = ()) -> list[Any]:
        return self._connection.execute(question, given).fetchall()

    def close(self) -> dict[int, int]:
        """Let go of the file; return how far it was read, for another reader of the same."""
        self._connection.close()
        return self._newest


def _kept(row: Any) -> Kept:
    _, tenant, store, device, epoch, lane, fork, first, span, reason, data = row
    frame, fault = None, ""
    try:
        frame = open_frame(data)
    except ProtocolError as error:
        fault = str(error)
    return Kept(
        f"{tenant}/{store}/{device}", epoch, LANES[lane], bool(fork),
        first, span, reason, data, frame, fault,
    )  # fmt: skip
