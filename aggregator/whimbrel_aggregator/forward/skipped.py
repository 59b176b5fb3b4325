"""What a route left out on a lower rung: ``<journal>.skipped``, so that it can be replayed.

A row is a run of frames of one store, passed by one forwarder on one rung; it is durable before
the forwarder's cursor passes the frames. The events themselves are in the journal for as long as
retention keeps them. On the rung ``sampled`` a part of them was forwarded, and on ``summarised``
their summaries.

==========  ==============================================================================
column      what it is
==========  ==============================================================================
forwarder   the route, with ``tenant``, ``store`` and ``rung``
first       offset of the first frame, ``last`` of the last one
frames      frames of the lanes that the rung thins; with ``events`` the events in them
min_ns      no event in them is earlier, by the devices' clocks; ``max_ns``: none is later
crc         CRC-32 of the columns before
==========  ==============================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator.flow.sidefile import SideFile, SideFileError
from whimbrel_aggregator.journal.rows import row_crc
from whimbrel_aggregator.journal.values import FrameRecord, PartitionKey
from whimbrel_aggregator.logs import facts

APPLICATION_ID: Final = 0x57685331  # "WhS1"
MAX_ROWS: Final = 100_000
"""Rows that are kept, some 15 MB; then routes stop leaving anything out until some are dropped."""

_TABLE: Final = """
CREATE TABLE skipped (
    id INTEGER PRIMARY KEY AUTOINCREMENT, forwarder TEXT NOT NULL,
    tenant TEXT NOT NULL, store TEXT NOT NULL, rung TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    frames INTEGER NOT NULL, events INTEGER NOT NULL,
    min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL, crc INTEGER NOT NULL
)
"""

_log = logging.getLogger("whimbrel.forward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A run of frames that a route did not forward in full; see the module. ``id``: of the row."""

    forwarder: str
    partition: PartitionKey
    rung: str
    first: int
    last: int
    frames: int
    events: int
    min_ns: int
    max_ns: int
    id: int = 0


def run_of(
    forwarder: str, partition: PartitionKey, rung: str, frames: Iterable[FrameRecord]
) -> Skipped | None:
    """Return what some frames with events, in the order of their offsets, are as a run."""
    given = [frame for frame in frames if frame.count]
    if not given:
        return None
    return Skipped(
        forwarder=forwarder,
        partition=partition,
        rung=rung,
        first=given[0].offset,
        last=given[-1].offset,
        frames=len(given),
        events=sum(frame.count for frame in given),
        min_ns=min(frame.time_min_ns for frame in given),
        max_ns=max(frame.time_max_ns for frame in given),
    )


def joined(before: Skipped, after: Skipped) -> Skipped:
    """Return two runs of one store as one."""
    return replace(
        before,
        last=max(before.last, after.last),
        frames=before.frames + after.frames,
        events=before.events + after.events,
        min_ns=min(before.min_ns, after.min_ns),
        max_ns=max(before.max_ns, after.max_ns),
    )


def skipped_path(journal: Path) -> Path:
    """Return where the skipped runs of a journal's routes are kept."""
    return journal.with_name(journal.name + ".skipped")


class SkippedFile:
    """The open file. For one thread at a time.

    Raises:
        SideFileError: it is of a newer program, or cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._file = SideFile(path, name="skipped", schema=_TABLE, application_id=APPLICATION_ID)
        self._newest: dict[tuple[str, PartitionKey], Skipped] = {}
        rows = self.rows()
        self._count = len(rows)
        for row in rows:
            self._newest[row.forwarder, row.partition] = row

    def add(self, run: Skipped, *, goes_on: bool) -> None:
        """Store a run, or lengthen the newest one of its store (``goes_on``, on the same rung).

        Raises:
            SideFileError: nothing was stored.
        """
        key = run.forwarder, run.partition
        newest = self._newest.get(key)
        if newest is not None and goes_on and newest.rung == run.rung:
            run = joined(newest, run)
        elif self._count >= MAX_ROWS:
            raise SideFileError(
                f"{self._count} runs of skipped frames are kept, the most there may be: replay "
                "or drop some (whimbrel-aggregator forwarders skipped)"
            )
        values = (
            *(run.forwarder, run.partition.tenant, run.partition.store, run.rung),
            *(run.first, run.last, run.frames, run.events, run.min_ns, run.max_ns),
        )
        with self._file.writing() as connection:
            cursor = connection.execute(
                "INSERT OR REPLACE INTO skipped VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (run.id or None, *values, row_crc(*values)),
            )
        self._count += not run.id
        self._newest[key] = replace(run, id=run.id or cursor.lastrowid or 0)

    def drop(self, number: int) -> bool:
        """Forget a run; False when there is none of this id.

        Raises:
            SideFileError: it is still there.
        """
        with self._file.writing() as connection:
            dropped = connection.execute("DELETE FROM skipped WHERE id = ?", (number,)).rowcount
        self._count -= dropped
        self._newest = {key: run for key, run in self._newest.items() if run.id != number}
        return bool(dropped)

    def rows(self, forwarder: str | None = None, *, after_id: int = 0) -> list[Skipped]:
        """Return the runs, oldest first.

        Raises:
            SideFileError: the file cannot be read.
        """
        with self._file.reading() as connection:
            found = connection.execute(
                "SELECT * FROM skipped WHERE id > ? AND (? IS NULL OR forwarder = ?) ORDER BY id",
                (after_id, forwarder, forwarder),
            ).fetchall()
        whole = [row for row in found if row[-1] == row_crc(*row[1:-1])]
        if len(whole) < len(found):
            _log.error(
                "rows of skipped frames are damaged", extra=facts(rows=len(found) - len(whole))
            )
        return [_run_of_row(row) for row in whole]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _run_of_row(row: tuple[Any, ...]) -> Skipped:
    number, forwarder, tenant, store, rung, first, last, frames, events, min_ns, max_ns, _ = row
    return Skipped(
        forwarder=forwarder,
        partition=PartitionKey(tenant, store),
        rung=rung,
        first=first,
        last=last,
        frames=frames,
        events=events,
        min_ns=min_ns,
        max_ns=max_ns,
        id=number,
    )
