"""Appending: frames, index, dedup state and heads of a whole group in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from whimbrel_protocol.lanes import LANE_NUMBERS

from .errors import JournalDamagedError, JournalError
from .identities import Identities
from .rows import REMEDY, check_row, frame_id, pack_ranges, row_crc, zones_to_text
from .schema import MAX_OFFSET
from .values import (
    OP_ID_BYTES,
    OPERATIONS_KEPT,
    Append,
    AppendResult,
    Committed,
    Conflict,
    DeviceUpdate,
    PartitionKey,
)

_HEAD_BYTES: Final = 8
_OPERATION_BYTES: Final = OP_ID_BYTES + _HEAD_BYTES

NAMED_AHEAD: Final = 1024
"""Offsets noted ahead where frames name a dictionary: its row is written once for so many."""


@dataclass(slots=True)
class PartitionRow:
    """A row of ``partitions``; ``operations`` holds (op id, head after it), newest first."""

    id: int
    key: PartitionKey
    oldest: int
    head: int
    received_ns: int
    operations: bytes

    def values(self) -> tuple[Any, ...]:
        """Return the columns that the CRC covers."""
        return (
            self.id,
            self.key.tenant,
            self.key.store,
            self.oldest,
            self.head,
            self.received_ns,
            self.operations,
        )

    def outcome(self, op_id: bytes) -> AppendResult:
        """Say what the row knows of an operation."""
        for at in range(0, len(self.operations), _OPERATION_BYTES):
            if self.operations[at : at + OP_ID_BYTES] == op_id:
                head = self.operations[at + OP_ID_BYTES : at + _OPERATION_BYTES]
                return Committed(int.from_bytes(head, "big"))
        return Conflict(self.head)

    def advance(self, head: int, received_ns: int, op_id: bytes) -> None:
        """Take an operation in that leads to ``head``."""
        newest = op_id + head.to_bytes(_HEAD_BYTES, "big")
        kept = self.operations[: (OPERATIONS_KEPT - 1) * _OPERATION_BYTES]
        self.head, self.received_ns, self.operations = head, received_ns, newest + kept

    def save(self, connection: sqlite3.Connection) -> None:
        """Write what changed."""
        connection.execute(
            "UPDATE partitions SET oldest = ?, head = ?, received_ns = ?, operations = ?, crc = ? "
            "WHERE id = ?",
            (*self.values()[3:], row_crc(*self.values()), self.id),
        )


def read_partition(connection: sqlite3.Connection, partition: int) -> PartitionRow:
    """Return a partition's row.

    Raises:
        JournalDamagedError: it is gone or does not match its CRC.
    """
    row = connection.execute("SELECT * FROM partitions WHERE id = ?", (partition,)).fetchone()
    if row is None:
        raise JournalDamagedError(f"partition row {partition} is not there; {REMEDY}")
    check_row(f"partition {row[1]}/{row[2]}", row[-1], *row[:-1])
    return PartitionRow(row[0], PartitionKey(row[1], row[2]), *row[3:-1])


class _Group:
    """Rows of one transaction, collected so that each table is written once."""

    def __init__(self) -> None:
        self.frames: list[tuple[Any, ...]] = []
        self.index: list[tuple[int, int, int]] = []
        self.streams: list[tuple[bytes, int]] = []

    def write(self, connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO frames VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", self.frames
        )
        connection.executemany("INSERT INTO frame_index VALUES (?,?,?)", self.index)
        connection.executemany("UPDATE streams SET ranges = ? WHERE id = ?", self.streams)


def append_group(
    connection: sqlite3.Connection, identities: Identities, appends: Sequence[Append]
) -> list[AppendResult]:
    """Append inside the caller's transaction; one result each.

    Raises:
        JournalError: the request breaks a rule of the port.
        JournalDamagedError: a row that it depends on is damaged.
        sqlite3.Error: SQLite refused; the caller rolls back.
    """
    results: list[AppendResult] = []
    group = _Group()
    seen: set[PartitionKey] = set()
    for append in appends:
        if append.partition in seen:
            raise JournalError(f"partition {append.partition} occurs twice in one group")
        if len(append.op_id) != OP_ID_BYTES:
            raise JournalError(f"op id of {len(append.op_id)} bytes, must be {OP_ID_BYTES}")
        seen.add(append.partition)
        row = read_partition(connection, identities.make_partition(append.partition))
        if row.head != append.expected_head:
            results.append(Conflict(row.head))
            continue
        _collect(group, append, row, identities, connection)
        row.save(connection)
        results.append(Committed(row.head))
    group.write(connection)
    return results


def _collect(
    group: _Group,
    append: Append,
    row: PartitionRow,
    identities: Identities,
    connection: sqlite3.Connection,
) -> None:
    head, received_ns = row.head, row.received_ns
    if head + len(append.frames) > MAX_OFFSET:
        raise JournalError(f"partition {append.partition} has no offsets left above {head}")
    for frame in append.frames:
        stream, partition, device = identities.make_stream(frame.key)
        if partition != row.id:
            raise JournalError(f"frame of {frame.key.device_key} does not belong to {row.key}")
        head += 1
        if frame.dictionary:
            _note_named(connection, device, frame.dictionary, head)
        # the wall clock may step back; times in a partition never do (see reading by time)
        received_ns = max(received_ns, frame.received_ns)
        values = (
            frame_id(row.id, head),
            stream,
            frame.first,
            frame.span,
            frame.count,
            frame.reason,
            int(frame.fork),
            received_ns,
            frame.time_min_ns,
            frame.time_max_ns,
            zones_to_text(frame.zones),
            frame.digest,
        )
        group.frames.append((*values, row_crc(*values), frame.data))
        group.index.append((stream, frame.first, head))
    for update in append.streams:
        stream, _, device = identities.make_stream(update.key)
        identity = (device, update.key.epoch, LANE_NUMBERS[update.key.lane])
        group.streams.append((pack_ranges(identity, update.ranges), stream))
    for change in append.devices:
        _update_device(connection, identities, change)
    row.advance(head, received_ns, append.op_id)


def _note_named(connection: sqlite3.Connection, device: int, name: bytes, offset: int) -> None:
    """Note that a frame at an offset names a dictionary of the device with this row id.

    Raises:
        JournalError: it is not there; nobody could read the frame.
    """
    found = connection.execute(
        "SELECT through FROM dictionaries WHERE device = ? AND name = ?", (device, name)
    ).fetchone()
    if found is None:
        raise JournalError(f"frame names dictionary {name.hex()}, which is not kept")
    if found[0] < offset:
        connection.execute(
            "UPDATE dictionaries SET through = ? WHERE device = ? AND name = ?",
            (offset + NAMED_AHEAD, device, name),
        )


def _update_device(
    connection: sqlite3.Connection, identities: Identities, change: DeviceUpdate
) -> None:
    device = identities.make_device(change.key)
    device.forks += change.forks
    device.epoch_floor = max(device.epoch_floor, change.epoch_floor)
    device.seen_ns = max(device.seen_ns, change.seen_ns)
    device.save(connection)
