"""Reading the dedup side of the journal, and folding a device's oldest epochs."""

from __future__ import annotations

import sqlite3
from typing import Any

from whimbrel_protocol.epoch import RANDOM_BITS, ordinal_of
from whimbrel_protocol.lanes import LANE_NUMBERS

from .errors import JournalDamagedError
from .identities import DeviceRow, Identities
from .rows import REMEDY, check_row, frame_id, offset_of, unpack_ranges
from .values import DeviceKey, DeviceState, IndexEntry, StreamKey, StreamRecord

_META = (
    "id, stream, first, span, count, reason, fork, received_ns, time_min_ns, time_max_ns, "
    "zones, digest, crc"
)


def read_stream(
    connection: sqlite3.Connection, identities: Identities, key: StreamKey
) -> StreamRecord | None:
    """Return what is settled of a stream.

    Raises:
        JournalDamagedError: its row does not match its CRC.
    """
    ids = identities.stream(key)
    if ids is None:
        return None
    row = connection.execute("SELECT ranges FROM streams WHERE id = ?", (ids[0],)).fetchone()
    if row is None:
        identities.forget_streams()  # another connection may have folded it
        if identities.stream(key) is None:
            return None
        # taking it for a new stream would commit its events twice
        raise JournalDamagedError(f"stream row {ids[0]} is not where its index says; {REMEDY}")
    identity = (ids[2], key.epoch, LANE_NUMBERS[key.lane])
    return StreamRecord(key, unpack_ranges(identity, row[0]))


def device_state(
    connection: sqlite3.Connection, identities: Identities, key: DeviceKey
) -> DeviceState:
    """Return the dedup side of a device, empty when it is not known."""
    device = identities.device(key)
    return DeviceState() if device is None else state_of(connection, device)


def state_of(connection: sqlite3.Connection, device: DeviceRow) -> DeviceState:
    """Return the dedup side of a device's row."""
    count, newest = connection.execute(
        "SELECT count(*), coalesce(max(epoch), 0) FROM streams WHERE device = ? AND epoch >= ?",
        (device.id, device.epoch_floor),
    ).fetchone()
    return state_with(device, count, newest)


def state_with(device: DeviceRow, streams: int, newest_epoch: int) -> DeviceState:
    """Return the dedup side of a device of which the streams above its floor were counted."""
    return DeviceState(
        epoch_floor=device.epoch_floor,
        streams=streams,
        newest_ordinal=ordinal_of(newest_epoch),
        forks=device.forks,
        seen_ns=device.seen_ns,
    )


def first_overlapping(
    connection: sqlite3.Connection, identities: Identities, key: StreamKey, first: int, last: int
) -> IndexEntry | None:
    """Return the first kept frame of a stream that shares a sequence with ``first..last``.

    Raises:
        JournalDamagedError: index and row do not agree, or the row's CRC is wrong.
    """
    before = _at_or_before(connection, identities, key, first)
    if before is not None and before.first + before.span > first:
        return before
    ids = identities.stream(key)
    if ids is None:
        return None
    row = connection.execute(
        "SELECT first, position FROM frame_index WHERE stream = ? AND first > ? AND first <= ? "
        "ORDER BY first LIMIT 1",
        (ids[0], first, last),
    ).fetchone()
    return None if row is None else _entry(connection, ids[0], ids[1], row)


def frame_ending_at(
    connection: sqlite3.Connection, identities: Identities, key: StreamKey, last: int
) -> IndexEntry | None:
    """Return the kept frame of a stream that ends at ``last``.

    Raises:
        JournalDamagedError: index and row do not agree, or the row's CRC is wrong.
    """
    entry = _at_or_before(connection, identities, key, last)
    return entry if entry is not None and entry.first + entry.span - 1 == last else None


def _at_or_before(
    connection: sqlite3.Connection, identities: Identities, key: StreamKey, sequence: int
) -> IndexEntry | None:
    """Return the kept frame with the greatest ``first`` up to ``sequence``."""
    ids = identities.stream(key)
    if ids is None:
        return None
    row = connection.execute(
        "SELECT first, position FROM frame_index WHERE stream = ? AND first <= ? "
        "ORDER BY first DESC LIMIT 1",
        (ids[0], sequence),
    ).fetchone()
    return None if row is None else _entry(connection, ids[0], ids[1], row)


def _entry(
    connection: sqlite3.Connection, stream: int, partition: int, found: tuple[int, int]
) -> IndexEntry:
    first, offset = found
    row: tuple[Any, ...] | None = connection.execute(
        f"SELECT {_META} FROM frames WHERE id = ?",  # noqa: S608 - a constant list of columns
        (frame_id(partition, offset),),
    ).fetchone()
    what = f"frame {first} of stream row {stream}"
    if row is None or row[1] != stream or row[2] != first:
        raise JournalDamagedError(
            f"{what} is not where the index says (partition row {partition}, offset {offset}); "
            f"{REMEDY}"
        )
    check_row(what, row[-1], *row[:-1])
    return IndexEntry(
        offset=offset_of(row[0]),
        first=row[2],
        span=row[3],
        count=row[4],
        digest=row[11],
        reason=row[5],
    )


def fold_streams(
    connection: sqlite3.Connection, identities: Identities, key: DeviceKey, keep: int
) -> int:
    """Raise a device's epoch floor until at most ``keep`` streams lie above it.

    The newest ordinal is never folded: its frames are still coming. Inside the caller's
    transaction. Returns the floor.
    """
    device = identities.device(key)
    if device is None:
        return 0
    epochs = [
        row[0]
        for row in connection.execute(
            "SELECT epoch FROM streams WHERE device = ? AND epoch >= ? ORDER BY epoch DESC",
            (device.id, device.epoch_floor),
        )
    ]
    if len(epochs) <= keep:
        return device.epoch_floor
    newest = ordinal_of(epochs[0])
    ordinal = min(newest, ordinal_of(epochs[keep]) + 1 if keep < len(epochs) else newest)
    device.epoch_floor = max(device.epoch_floor, ordinal << RANDOM_BITS)
    device.save(connection)
    drop_folded(connection, device)
    identities.forget_streams()
    return device.epoch_floor


def drop_folded(connection: sqlite3.Connection, device: DeviceRow) -> int:
    """Delete streams below a device's floor of which no frame is kept; return how many."""
    return connection.execute(
        "DELETE FROM streams WHERE device = ? AND epoch < ? AND NOT EXISTS "
        "(SELECT 1 FROM frame_index WHERE stream = streams.id)",
        (device.id, device.epoch_floor),
    ).rowcount
