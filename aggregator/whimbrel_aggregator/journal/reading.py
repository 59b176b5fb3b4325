"""Ordered reads of a partition: every row is checked, a damaged one is reported, not served."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from .errors import JournalDamagedError
from .identities import Identities
from .rows import frame_id, frame_is_whole, offset_of, row_crc, zones_from_text
from .values import DamagedFrame, FrameRecord, Page, PartitionKey, PartitionState
from .writing import read_partition

_COLUMNS: Final = (
    "id, stream, first, span, count, reason, fork, received_ns, time_min_ns, time_max_ns, "
    "zones, digest, crc, data"
)
_CRC: Final = 12
_DATA: Final = 13
_FAR_PAST: Final = -(2**63)
_FAR_FUTURE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bounded read: from ``offset`` on, and only frames with times in the window."""

    offset: int
    limit_frames: int
    limit_bytes: int
    since_ns: int | None = None
    until_ns: int | None = None


def list_partitions(connection: sqlite3.Connection) -> list[PartitionState]:
    """Return every partition with its bounds, in key order."""
    ids = connection.execute("SELECT id FROM partitions ORDER BY tenant, store").fetchall()
    states = []
    for (partition,) in ids:
        row = read_partition(connection, partition)
        states.append(PartitionState(row.key, row.oldest, row.head))
    return states


def read_page(
    connection: sqlite3.Connection, identities: Identities, key: PartitionKey, wanted: Wanted
) -> Page:
    """Read a run of a partition.

    Raises:
        JournalDamagedError: the partition's own row is damaged.
    """
    partition = identities.partition(key)
    if partition is None:
        return Page((), (), max(1, wanted.offset), at_end=True)
    bounds = read_partition(connection, partition)
    head = bounds.head
    frames: list[FrameRecord] = []
    damaged: list[DamagedFrame] = []
    offset = max(bounds.oldest, wanted.offset)
    looked = size = 0
    for at, row in _rows(connection, partition, offset, head):
        if looked and (looked >= wanted.limit_frames or size >= wanted.limit_bytes):
            return Page(tuple(frames), tuple(damaged), offset, at_end=False)
        looked += 1
        offset = at + 1
        if row is not None and not _in_window(row, wanted):
            continue
        checked = _check(identities, key, at, row)
        if isinstance(checked, FrameRecord):
            frames.append(checked)
            size += len(checked.data)
        else:
            damaged.append(checked)
    return Page(tuple(frames), tuple(damaged), max(offset, head + 1), at_end=True)


def _rows(connection: sqlite3.Connection, partition: int, offset: int, head: int) -> Any:
    """Yield (offset, row) rising; row is None where a row is lost or cannot be read.

    SQLite stops a whole scan at a damaged page, so behind one the rows are read one by one.
    """
    expected = offset
    try:
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM frames WHERE id >= ? AND id <= ? ORDER BY id",  # noqa: S608
            (frame_id(partition, offset), frame_id(partition, head)),
        ):
            at = offset_of(row[0])
            for lost in range(expected, at):
                yield lost, None
            expected = at + 1
            yield at, row
    except sqlite3.DatabaseError:
        for at in range(expected, head + 1):
            yield at, _row_alone(connection, partition, at)
        return
    for lost in range(expected, head + 1):
        yield lost, None


def _row_alone(connection: sqlite3.Connection, partition: int, offset: int) -> Any:
    try:
        return connection.execute(
            f"SELECT {_COLUMNS} FROM frames WHERE id = ?",  # noqa: S608 - constant columns
            (frame_id(partition, offset),),
        ).fetchone()
    except sqlite3.DatabaseError:
        return None


def _in_window(row: tuple[Any, ...], wanted: Wanted) -> bool:
    if wanted.since_ns is None and wanted.until_ns is None:
        return True
    if type(row[8]) is not int or type(row[9]) is not int:
        return True  # damaged: the check below says so
    since = _FAR_PAST if wanted.since_ns is None else wanted.since_ns
    until = _FAR_FUTURE if wanted.until_ns is None else wanted.until_ns
    return bool(row[9] >= since and row[8] < until)


def _check(
    identities: Identities, partition: PartitionKey, offset: int, row: tuple[Any, ...] | None
) -> FrameRecord | DamagedFrame:
    if row is None:
        return DamagedFrame(partition, offset, None, 0, 0, "the row cannot be read")
    if row[_CRC] != row_crc(*row[:_CRC]):
        return DamagedFrame(
            partition, offset, None, 0, 0, "the row's columns do not match its checksum"
        )
    try:
        key, _ = identities.name_of(row[1])
    except (JournalDamagedError, sqlite3.DatabaseError) as error:
        return DamagedFrame(partition, offset, None, row[2], row[3], f"its stream: {error}")
    if not frame_is_whole(row[_DATA], row[11]):
        return DamagedFrame(
            partition, offset, key, row[2], row[3], "the frame's bytes do not match their digest"
        )
    return FrameRecord(
        partition=partition,
        offset=offset,
        key=key,
        first=row[2],
        span=row[3],
        count=row[4],
        digest=row[11],
        reason=row[5],
        received_ns=row[7],
        time_min_ns=row[8],
        time_max_ns=row[9],
        zones=zones_from_text(row[10]),
        fork=bool(row[6]),
        data=row[_DATA],
    )


def offset_at_time(
    connection: sqlite3.Connection, identities: Identities, key: PartitionKey, received_ns: int
) -> int:
    """Return the first offset received at or after a time, by halving; head + 1 if none."""
    partition = identities.partition(key)
    if partition is None:
        return 1
    bounds = read_partition(connection, partition)
    low, high, head = bounds.oldest, bounds.head + 1, bounds.head
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT received_ns FROM frames WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1",
            (frame_id(partition, middle), frame_id(partition, head)),
        ).fetchone()
        if row is None or row[0] >= received_ns:
            high = middle
        else:
            low = middle + 1
    return low
