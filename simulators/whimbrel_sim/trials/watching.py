"""When events were accepted and when they were committed, seen from outside the product.

The senders' ledger notes when an answer was read; a thread looks at the journal's file, as a second
reader, and notes when a frame is there for everybody to see. Both times are of one clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Final, Self

from whimbrel_protocol.lanes import LANES
from whimbrel_sim.ledger import Entry, Ledger, Place

LOOK_EVERY_S: Final = 0.005
"""How exactly a commit is known; the look itself takes a tenth of a millisecond."""

_OFFSET_BITS: Final = 40  # a frame's rowid is its partition's id << 40 | its offset
_END_S: Final = 10.0

_FRESH: Final = """
    SELECT frames.id, devices.tenant, streams.epoch, streams.lane, frames.first, frames.span,
        frames.count, length(frames.data)
    FROM frames JOIN streams ON streams.id = frames.stream
    JOIN devices ON devices.id = streams.device
    WHERE frames.id > ? AND frames.id < ? ORDER BY frames.id
"""


class TimedLedger(Ledger):
    """A ledger that notes when each event's first answer was read."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted_s: dict[str, float] = {}

    def accept(self, entries: Iterable[Entry], places: Iterable[Place]) -> None:
        """Note that an answer accepted these events, and when."""
        now_s = perf_counter()
        given = list(entries)
        super().accept(given, places)
        for entry in given:
            self.accepted_s.setdefault(entry.event_id, now_s)

    def accepted(
        self, lane: str, since_s: float = 0.0, until_s: float = float("inf")
    ) -> list[Entry]:
        """Return the events of a lane that were accepted in a time, in their senders' order."""
        times = self.accepted_s
        return [
            entry
            for entry in self
            if entry.lane == lane and since_s <= times.get(entry.event_id, -1.0) < until_s
        ]


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """A committed frame, and when it was seen first."""

    seen_s: float
    tenant: str
    epoch: int
    lane: str
    first: int
    span: int
    events: int
    size_bytes: int


class CommitWatch:
    """Watches a journal's file from a thread while the block lasts.

    Attributes:
        frames: what was seen, in order.
    """

    def __init__(self, path: Path) -> None:
        self.frames: list[SeenFrame] = []
        self._path = path
        self._ended = Event()
        self._newest: dict[int, int] = {}
        self._version = -1
        self._thread = Thread(target=self._look_on, name="commit watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_END_S)

    def times(self) -> dict[Place, float]:
        """Return when each sequence was committed."""
        return {
            Place(frame.epoch, frame.lane, sequence): frame.seen_s
            for frame in list(self.frames)
            for sequence in range(frame.first, frame.first + frame.span)
        }

    def delays(self, ledger: TimedLedger, entries: Iterable[Entry]) -> list[float]:
        """Return how long each event took from its answer to its commit, of those committed."""
        times = self.times()
        return [
            max(0.0, times[entry.place] - ledger.accepted_s[entry.event_id])
            for entry in entries
            if entry.place in times
        ]

    def _look_on(self) -> None:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.execute("PRAGMA busy_timeout = 1000")
            while not self._ended.wait(LOOK_EVERY_S):
                self._look(connection)
            self._look(connection)

    def _look(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._version = version
        fresh = list(self._fresh(connection))
        now_s = perf_counter()
        for rowid, tenant, epoch, lane, *rest in fresh:
            self._newest[rowid >> _OFFSET_BITS] = rowid
            self.frames.append(SeenFrame(now_s, tenant, epoch, LANES[lane], *rest))

    def _fresh(
        self, connection: sqlite3.Connection
    ) -> Iterator[tuple[int, str, int, int, int, int, int, int]]:
        for (partition,) in connection.execute("SELECT id FROM partitions").fetchall():
            newest = self._newest.get(partition, (partition << _OFFSET_BITS) - 1)
            yield from connection.execute(_FRESH, (newest, (partition + 1) << _OFFSET_BITS))
