"""Deleting the oldest frames, never past a consumer; dedup ranges always stay.

Stamps never go back within a partition, so frames from before the region's clock was set can only be
its first ones. They have no age of their own: they count with the next one that has, and for the
present while there is none.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.walltime import EARLIEST_NS, is_dated

from .dedup import drop_folded
from .identities import DeviceRow, Identities
from .rows import frame_id
from .values import RetentionPolicy
from .writing import PartitionRow, read_partition

STEP_FRAMES: Final = 512
"""Frames deleted in one transaction: appends wait no longer for it than for a group."""


@dataclass(frozen=True, slots=True)
class Step:
    """One bounded deletion: how many frames and bytes went, and who held others back."""

    frames: int
    size_bytes: int
    held_by: frozenset[str]


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the database pages in use (the write-ahead log not counted)."""
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    return (pages - free) * size


def _limit(connection: sqlite3.Connection, row: PartitionRow) -> tuple[int, frozenset[str]]:
    """Return the first offset that must stay in a partition, and who needs it."""
    low, holders = row.head + 1, frozenset[str]()
    for name, position in connection.execute(
        "SELECT name, coalesce(position, 1) FROM consumers LEFT JOIN cursors "
        "ON consumer = name AND partition = ?",
        (row.id,),
    ):
        if position < low:
            low, holders = position, frozenset((name,))
        elif position == low <= row.head:
            holders |= {name}
    return low, holders


def retention_step(
    connection: sqlite3.Connection, identities: Identities, policy: RetentionPolicy, now_ns: int
) -> Step:
    """Delete up to :data:`STEP_FRAMES` frames inside the caller's transaction.

    The partition with the oldest frame that may go comes first.
    """
    too_big = policy.keep_bytes is not None and used_bytes(connection) > policy.keep_bytes
    before_ns = None if policy.max_age_ns is None else now_ns - policy.max_age_ns
    held: set[str] = set()
    best: tuple[int, PartitionRow, int] | None = None
    for (partition,) in connection.execute("SELECT id FROM partitions").fetchall():
        row = read_partition(connection, partition)
        if row.oldest > row.head:
            continue
        received = _received(connection, row, now_ns)
        if not too_big and (before_ns is None or received >= before_ns):
            continue
        low, holders = _limit(connection, row)
        if row.oldest >= low:
            held |= holders
        elif best is None or received < best[0]:
            best = (received, row, low)
    if best is None:
        _drop_folded_streams(connection, identities)
        return Step(0, 0, frozenset(held))
    _, row, low = best
    end = min(low, row.oldest + STEP_FRAMES)
    if not too_big and before_ns is not None:
        end = _first_kept(connection, row.id, row.oldest, end, before_ns)
    frames, size = _delete(connection, row.id, row.oldest, end)
    row.oldest = end
    row.save(connection)
    return Step(frames, size, frozenset(held))


def _received(connection: sqlite3.Connection, row: PartitionRow, now_ns: int) -> int:
    """Return since when a partition's oldest frame is there, as far as stamps tell."""
    oldest = frame_id(row.id, row.oldest)
    found = connection.execute("SELECT received_ns FROM frames WHERE id = ?", (oldest,)).fetchone()
    if found is None:
        return 0  # a lost row may always go
    if not is_dated(found[0]):
        found = connection.execute(
            "SELECT received_ns FROM frames WHERE id > ? AND id <= ? AND received_ns >= ? "
            "ORDER BY id LIMIT 1",
            (oldest, frame_id(row.id, row.head), EARLIEST_NS),
        ).fetchone()
    return now_ns if found is None else int(found[0])


def _first_kept(
    connection: sqlite3.Connection, partition: int, start: int, end: int, before_ns: int
) -> int:
    row = connection.execute(
        "SELECT id - ? FROM frames WHERE id >= ? AND id < ? AND received_ns >= ? "
        "ORDER BY id LIMIT 1",
        (
            frame_id(partition, 0),
            frame_id(partition, start),
            frame_id(partition, end),
            before_ns,
        ),
    ).fetchone()
    return end if row is None else int(row[0])


def _delete(
    connection: sqlite3.Connection, partition: int, start: int, end: int
) -> tuple[int, int]:
    bounds = (frame_id(partition, start), frame_id(partition, end))
    rows = connection.execute(
        "SELECT stream, first, length(data) FROM frames WHERE id >= ? AND id < ?", bounds
    ).fetchall()
    connection.executemany(
        "DELETE FROM frame_index WHERE stream = ? AND first = ?", [row[:2] for row in rows]
    )
    connection.execute("DELETE FROM frames WHERE id >= ? AND id < ?", bounds)
    return len(rows), sum(row[2] for row in rows)


def _drop_folded_streams(connection: sqlite3.Connection, identities: Identities) -> None:
    folded = connection.execute("SELECT * FROM devices WHERE epoch_floor > 0").fetchall()
    if sum(drop_folded(connection, DeviceRow.read(row)) for row in folded):
        identities.forget_streams()
