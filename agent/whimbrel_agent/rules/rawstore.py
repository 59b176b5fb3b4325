"""Raw events that stay on the device for some days, to be fetched by range.

What this is: a bounded local record beside the buffer, in a file of its own, for whoever wants to
see behind a summary. What it is not: part of the promise that an accepted event is kept. Events
wait in memory until there are many, or for ``FLUSH_S``, so that a sensor a second does not cost a
write a second: a power cut takes at most those. A full or failing disk costs raw events, counted,
and never an accept.

One row holds events of one source and lane as ``buffer.staging`` writes them, with their checksum.
Rows go when they are too old by the wall clock, as far as that knows the date, and the oldest when
the file is at its cap.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.buffer.staging import (
    MAX_ROW_EVENTS,
    DamagedRowError,
    Stamp,
    pack_lane,
    read_row,
    write_row,
)
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock, SqlRunner
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANE_NUMBERS
from whimbrel_protocol.walltime import is_dated

__all__ = ["FLUSH_S", "RawStore"]

FLUSH_S: Final = 30.0
"""Raw events wait in memory for so long at most: one write for many."""

MAX_WAITING: Final = 2_000
"""Raw events in memory; more are written at once. About 2 MB of common events."""

MIN_RAW_BYTES: Final = 1024 * 1024
_PAGE_BYTES: Final = 4096
_READ_ROWS: Final = 20
_TRIM_SHARE: Final = 16
"""At the cap this part of the rows goes, the oldest: freeing a row at a time would free one for
every row written."""

_DAY_NS: Final = 86_400 * 1_000_000_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS raw (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS raw_range ON raw (source, last_ns);
"""
_INSERT: Final = (
    "INSERT INTO raw (source, first_ns, last_ns, until_ns, body) VALUES (?, ?, ?, ?, ?)"
)
_FIND: Final = (
    "SELECT id, CAST(body AS BLOB) FROM raw WHERE source = ? AND last_ns >= ? AND first_ns < ? "
    "AND id > ? ORDER BY id LIMIT ?"
)

_log: Final = logging.getLogger(__name__)
_Row = tuple[str, int, int, int, bytes]


class RawStore:
    """Keeps raw events.

    Args:
        path: the file; made when it is not there, put aside when it cannot be used.
        max_bytes: the file's cap; its log is at most a quarter more.
        clock: gives the time of arrival.
        runner: where blocking work runs.
    """

    def __init__(self, path: Path, max_bytes: int, clock: Clock, runner: SqlRunner) -> None:
        self.path = path
        self.counters: Counter[str] = Counter()
        self._max_bytes = max_bytes
        self._clock = clock
        self._runner = runner
        self._waiting: list[tuple[float, Event]] = []
        self._connection: sqlite3.Connection | None = None
        self._added = asyncio.Event()
        self._streak = Streak(_log)

    async def add(self, events: Sequence[tuple[float, Event]]) -> None:
        """Take events with the days each is kept; they are written a little later."""
        self._waiting += events
        self._added.set()
        if len(self._waiting) >= MAX_WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        stamp = Stamp(self._clock.mono_ns(), self._clock.wall_ns(), self._clock.quality())
        try:
            await self._runner.run(lambda: self._write(waiting, stamp))
        except (sqlite3.Error, OSError) as error:
            self.counters["lost"] += len(waiting)
            self._streak.failed("raw events are not kept", why=str(error))
        else:
            self.counters["kept"] += len(waiting)

    async def run(self) -> None:
        """Write what waits, now and then, until cancelled."""
        while True:
            await self._added.wait()  # where nothing comes, nothing wakes the machine
            self._added.clear()
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def read(self, source: str, from_ns: int, to_ns: int) -> AsyncIterator[Event]:
        """Yield a source's raw events with ``from_ns <= time < to_ns``, as they came.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        await self.flush()
        after = 0
        while True:
            after, events = await self._runner.run(
                lambda: self._page(source, from_ns, to_ns, after)  # noqa: B023  awaited here
            )
            for event in events:
                yield event
            if after == 0:
                return

    async def close(self) -> None:
        """Write what waits and close the file."""
        await self.flush()
        await self._runner.run(self._close)

    def figures(self) -> dict[str, Any]:
        """Give the figures for ``status``."""
        size_bytes = self.path.stat().st_size if self.path.exists() else 0
        return {
            **{name: self.counters[name] for name in ("kept", "lost", "damaged_rows")},
            "waiting": len(self._waiting),
            "size_bytes": size_bytes,
            "max_bytes": self._max_bytes,
            "durability": f"written within {FLUSH_S:g} s",
        }

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self.path.replace(self.path.with_suffix(".damaged"))
                for end in ("-wal", "-shm"):
                    Path(f"{self.path}{end}").unlink(missing_ok=True)
                self.counters["files_damaged"] += 1
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for setting in (
                f"page_size = {_PAGE_BYTES}",
                "journal_mode = WAL",
                "synchronous = NORMAL",  # a power cut may take the last writes: that is stated
                "secure_delete = OFF",
                "trusted_schema = OFF",
                "cache_size = -256",
                f"max_page_count = {max(MIN_RAW_BYTES, self._max_bytes) // _PAGE_BYTES}",
                f"journal_size_limit = {max(MIN_RAW_BYTES, self._max_bytes) // 4}",
            ):
                connection.execute(f"PRAGMA {setting}")
            for statement in _TABLES.split(";"):
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection

    def _write(self, events: Sequence[tuple[float, Event]], stamp: Stamp) -> None:
        connection = self._open()
        rows = list(_rows_of(events, stamp))
        self._commit(connection, lambda: self._trim_old(connection, stamp.wall_ns))
        for _ in range(2 * _TRIM_SHARE):
            try:
                self._commit(connection, lambda: connection.executemany(_INSERT, rows))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                if not self._commit(connection, lambda: self._trim_share(connection)):
                    raise
            else:
                return
        raise sqlite3.OperationalError("the raw file has no room for what came at once")

    def _commit(self, connection: sqlite3.Connection, work: Callable[[], Any]) -> Any:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    def _trim_old(self, connection: sqlite3.Connection, wall_ns: int) -> None:
        if is_dated(wall_ns):
            connection.execute(
                "DELETE FROM raw WHERE id IN (SELECT id FROM raw WHERE until_ns < ? LIMIT 1000)",
                (wall_ns,),
            )

    def _trim_share(self, connection: sqlite3.Connection) -> int:
        """Drop the oldest rows; returns how many."""
        first, last = connection.execute("SELECT min(id), max(id) FROM raw").fetchone()
        if first is None:
            return 0
        upto = first + (last - first) // _TRIM_SHARE
        gone = connection.execute("DELETE FROM raw WHERE id <= ?", (upto,)).rowcount
        self.counters["rows_dropped_at_cap"] += gone
        return gone

    def _page(self, source: str, from_ns: int, to_ns: int, after: int) -> tuple[int, list[Event]]:
        rows = self._open().execute(_FIND, (source, from_ns, to_ns, after, _READ_ROWS)).fetchall()
        found: list[Event] = []
        for _, body in rows:
            try:
                events = read_row(body or b"").events()
            except DamagedRowError:
                self.counters["damaged_rows"] += 1
                continue
            found += [event for event in events if from_ns <= event.time_ns < to_ns]
        return (rows[-1][0] if len(rows) == _READ_ROWS else 0), found

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _rows_of(events: Sequence[tuple[float, Event]], stamp: Stamp) -> list[_Row]:
    runs: dict[tuple[str, str, float], list[Event]] = {}
    for days, event in events:
        runs.setdefault((event.source, event.lane, days), []).append(event)
    rows: list[_Row] = []
    for (source, lane, days), run in runs.items():
        until_ns = stamp.wall_ns + int(days * _DAY_NS)
        for start in range(0, len(run), MAX_ROW_EVENTS):
            for pack in pack_lane(LANE_NUMBERS[lane], run[start : start + MAX_ROW_EVENTS]):
                times = [event.time_ns for event in pack.events]
                body = write_row(pack, epoch=0, first=1, stamp=stamp)
                rows.append((source, min(times), max(times), until_ns, body))
    return rows
