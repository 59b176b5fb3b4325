"""Consumers, their cursors, and the events that their sinks refused for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from .errors import (
    CursorGenerationError,
    JournalError,
    ParkedFullError,
    UnknownConsumerError,
)
from .identities import Identities
from .rows import check_row, row_crc
from .values import (
    MAX_PARKED_BYTES,
    MAX_PARKED_RECORDS,
    ConsumerCursor,
    Cursor,
    ParkedRecord,
    PartitionKey,
)
from .writing import read_partition


def attach(connection: sqlite3.Connection, consumer: str, now_ns: int) -> None:
    """Make a consumer known; harmless when it is."""
    connection.execute("INSERT OR IGNORE INTO consumers VALUES (?, ?)", (consumer, now_ns))


def names(connection: sqlite3.Connection) -> list[str]:
    """Return the attached consumers' names, sorted."""
    return [row[0] for row in connection.execute("SELECT name FROM consumers ORDER BY name")]


def detach(connection: sqlite3.Connection, consumer: str) -> None:
    """Forget a consumer and its cursors; its parked records stay.

    Raises:
        UnknownConsumerError: it is not attached.
    """
    _need(connection, consumer)
    connection.execute("DELETE FROM cursors WHERE consumer = ?", (consumer,))
    connection.execute("DELETE FROM consumers WHERE name = ?", (consumer,))


def _need(connection: sqlite3.Connection, consumer: str) -> None:
    if connection.execute("SELECT 1 FROM consumers WHERE name = ?", (consumer,)).fetchone() is None:
        known = ", ".join(names(connection)) or "none"
        raise UnknownConsumerError(
            f"no consumer {consumer!r} is attached (attached: {known}); attach it first"
        )


def _stored(connection: sqlite3.Connection, consumer: str, partition: int) -> Cursor | None:
    row = connection.execute(
        "SELECT * FROM cursors WHERE consumer = ? AND partition = ?", (consumer, partition)
    ).fetchone()
    if row is None:
        return None
    check_row(f"cursor of {consumer!r}", row[-1], *row[:-1])
    return Cursor(row[2], row[3])


def _check_generation(consumer: str, cursor: Cursor, generation: bytes) -> None:
    if cursor.generation != generation:
        raise CursorGenerationError(consumer, cursor.generation, generation)


def get_cursor(
    connection: sqlite3.Connection,
    identities: Identities,
    consumer: str,
    key: PartitionKey,
    generation: bytes,
) -> Cursor:
    """Return a consumer's position in a partition.

    Raises:
        UnknownConsumerError: it is not attached.
        CursorGenerationError: its cursor is of another generation.
    """
    _need(connection, consumer)
    partition = identities.partition(key)
    stored = None if partition is None else _stored(connection, consumer, partition)
    if stored is None:
        return Cursor(generation, 1)
    _check_generation(consumer, stored, generation)
    return stored


def put_cursor(
    connection: sqlite3.Connection,
    identities: Identities,
    consumer: str,
    key: PartitionKey,
    *,
    cursor: Cursor,
    generation: bytes,
    now_ns: int,
) -> None:
    """Store a consumer's position; a smaller one than the stored is left aside.

    Raises:
        UnknownConsumerError: it is not attached.
        CursorGenerationError: the new or the stored cursor is of another generation.
        JournalError: the offset lies beyond the partition's end.
    """
    _need(connection, consumer)
    _check_generation(consumer, cursor, generation)
    partition = identities.make_partition(key)
    stored = _stored(connection, consumer, partition)
    if stored is not None:
        _check_generation(consumer, stored, generation)
        if stored.offset >= cursor.offset:
            return
    end = read_partition(connection, partition).head + 1
    if not 1 <= cursor.offset <= end:
        raise JournalError(
            f"cursor of {consumer!r} at {cursor.offset} is beyond the end of {key} ({end})"
        )
    _write(connection, consumer, partition, cursor, now_ns)


def _write(
    connection: sqlite3.Connection, consumer: str, partition: int, cursor: Cursor, now_ns: int
) -> None:
    values = (consumer, partition, cursor.generation, cursor.offset, now_ns)
    connection.execute(
        "INSERT OR REPLACE INTO cursors VALUES (?,?,?,?,?,?)", (*values, row_crc(*values))
    )


def list_cursors(connection: sqlite3.Connection) -> list[ConsumerCursor]:
    """Return every cursor, with how many frames it is behind."""
    listed = []
    for row in connection.execute("SELECT * FROM cursors ORDER BY consumer, partition").fetchall():
        check_row(f"cursor of {row[0]!r}", row[-1], *row[:-1])
        at = read_partition(connection, row[1])
        lag = max(0, at.head + 1 - row[3])
        listed.append(ConsumerCursor(row[0], at.key, Cursor(row[2], row[3]), row[4], lag))
    return listed


def rebind(
    connection: sqlite3.Connection,
    consumer: str,
    offset: int | None,
    generation: bytes,
    now_ns: int,
) -> None:
    """Bind a consumer's cursors to ``generation``, at ``offset`` or where they are.

    Raises:
        UnknownConsumerError: it is not attached.
    """
    _need(connection, consumer)
    rows = connection.execute(
        "SELECT partition, position FROM cursors WHERE consumer = ?", (consumer,)
    ).fetchall()
    for partition, position in rows:
        end = read_partition(connection, partition).head + 1
        at = min(max(1, position if offset is None else offset), end)
        _write(connection, consumer, partition, Cursor(generation, at), now_ns)


def park(
    connection: sqlite3.Connection, identities: Identities, records: Sequence[ParkedRecord]
) -> None:
    """Keep refused events aside.

    Raises:
        ParkedFullError: a consumer has as many as it may.
    """
    for record in records:
        count, size = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM parked WHERE consumer = ?",
            (record.consumer,),
        ).fetchone()
        if count >= MAX_PARKED_RECORDS or size + len(record.body) > MAX_PARKED_BYTES:
            raise ParkedFullError(
                f"{record.consumer!r} has {count} parked records of {size} bytes (at most "
                f"{MAX_PARKED_RECORDS} and {MAX_PARKED_BYTES}); look at them, then clear them"
            )
        values = (
            record.consumer,
            identities.make_partition(record.partition),
            record.offset,
            record.index,
            record.event_id,
            record.reason,
            record.parked_ns,
            record.body,
        )
        connection.execute(
            "INSERT OR IGNORE INTO parked VALUES (NULL,?,?,?,?,?,?,?,?,?)",
            (*values, row_crc(*values)),
        )


def list_parked(
    connection: sqlite3.Connection, consumer: str | None, after_id: int, limit: int
) -> list[ParkedRecord]:
    """Return parked records in order of their ids."""
    rows = connection.execute(
        "SELECT * FROM parked WHERE id > ? AND (? IS NULL OR consumer = ?) ORDER BY id LIMIT ?",
        (after_id, consumer, consumer, limit),
    ).fetchall()
    records = []
    for row in rows:
        check_row(f"parked record {row[0]}", row[-1], *row[1:-1])
        records.append(
            ParkedRecord(
                consumer=row[1],
                partition=read_partition(connection, row[2]).key,
                offset=row[3],
                index=row[4],
                event_id=row[5],
                reason=row[6],
                parked_ns=row[7],
                body=row[8],
                id=row[0],
            )
        )
    return records


def unpark(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Forget parked records; return how many there were."""
    return sum(
        connection.execute("DELETE FROM parked WHERE id = ?", (number,)).rowcount for number in ids
    )
