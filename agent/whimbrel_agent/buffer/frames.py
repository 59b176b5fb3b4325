"""Rows of sealed frames: pending ones in send order, receipted ones kept while there is room.

A frame's bytes lie in ``bodies`` and never change; its small row moves from ``pending`` to
``receipted`` and back. Functions here run inside the caller's transaction and keep the totals.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from whimbrel_agent.buffer.schema import LANE_SHIFT, row_sum
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import FrameRef
from whimbrel_protocol.frame import DIGEST_BYTES, seal_frame
from whimbrel_protocol.header import gap_header
from whimbrel_protocol.lanes import LANES, GapReason

COLUMNS: Final = "id, body, epoch, first, span, count, digest, size, reason, wall_ns, sum"
_PLACES: Final = ", ".join("?" * 11)


class FrameRow(NamedTuple):
    """One row of ``pending`` or ``receipted``.

    ``reason`` is the gap reason of a frame without events, else 0; ``wall_ns`` is when its
    first event was accepted.
    """

    id: int
    body: int
    epoch: int
    first: int
    span: int
    events: int
    digest: bytes
    size: int
    reason: int
    wall_ns: int

    @property
    def lane(self) -> int:
        """The lane's number."""
        return self.id >> LANE_SHIFT

    @property
    def last(self) -> int:
        """The last sequence covered."""
        return self.first + self.span - 1


def digest_of(data: bytes) -> bytes:
    """Return the digest that names a frame."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def read_frame_row(values: Sequence[Any]) -> FrameRow | None:
    """Make a row of a SELECT of ``COLUMNS``; None when its checksum is wrong."""
    return FrameRow._make(values[:-1]) if row_sum(*values[:-1]) == values[-1] else None


def _checked(state: BufferState, values: Sequence[Any]) -> FrameRow:
    row = read_frame_row(values)
    if row is None:
        raise state.found_damage(f"the row of frame {values[0]} has a wrong checksum")
    return row


def add_pending(
    state: BufferState,
    connection: sqlite3.Connection,
    data: bytes,
    *,
    lane: int,
    epoch: int,
    first: int,
    span: int,
    count: int,
    reason: int = 0,
    wall_ns: int = 0,
    frame_id: int | None = None,
) -> FrameRow:
    """Insert a new frame; without ``frame_id`` it goes to the end of its lane."""
    body = state.next_body
    state.next_body += 1
    row = FrameRow(
        state.frame_id(lane) if frame_id is None else frame_id,
        *(body, epoch, first, span, count, digest_of(data), len(data), reason, wall_ns),
    )
    connection.execute("INSERT INTO bodies VALUES (?, ?)", (body, data))
    put_pending(state, connection, row)
    return row


def put_pending(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Insert the row of a frame whose bytes are there."""
    connection.execute(f"INSERT INTO pending VALUES ({_PLACES})", (*row, row_sum(*row)))  # noqa: S608
    totals = state.totals[row.lane]
    totals.pending_frames += 1
    totals.pending_events += row.events
    totals.pending_bytes += row.size
    stream = state.streams.get(row.epoch, row.lane) or state.streams.change(row.epoch, row.lane)
    stream.pending_frames += 1


def take_pending(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Delete a pending row; its bytes stay."""
    connection.execute("DELETE FROM pending WHERE id = ?", (row.id,))
    totals = state.totals[row.lane]
    totals.pending_frames -= 1
    totals.pending_events -= row.events
    totals.pending_bytes -= row.size
    stream = state.streams.get(row.epoch, row.lane)
    if stream is not None:
        stream.pending_frames -= 1


def drop_pending(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Delete a pending frame with its bytes."""
    take_pending(state, connection, row)
    connection.execute("DELETE FROM bodies WHERE id = ?", (row.body,))


def retain(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Move a pending frame to the receipted ones."""
    take_pending(state, connection, row)
    connection.execute(f"INSERT INTO receipted VALUES ({_PLACES})", (*row, row_sum(*row)))  # noqa: S608
    state.totals[row.lane].receipted_frames += 1
    state.totals[row.lane].receipted_bytes += row.size


def take_receipted(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Delete a receipted row; its bytes stay."""
    connection.execute("DELETE FROM receipted WHERE id = ?", (row.id,))
    state.totals[row.lane].receipted_frames -= 1
    state.totals[row.lane].receipted_bytes -= row.size


def drop_receipted(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> None:
    """Delete a receipted frame with its bytes."""
    take_receipted(state, connection, row)
    connection.execute("DELETE FROM bodies WHERE id = ?", (row.body,))


def find_pending(
    state: BufferState, connection: sqlite3.Connection, epoch: int, lane: int, first: int
) -> FrameRow | None:
    """Return the pending frame of a stream that begins at a sequence."""
    values = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE epoch = ? AND id >> {LANE_SHIFT} = ? AND first = ?",  # noqa: S608
        (epoch, lane, first),
    ).fetchone()
    return None if values is None else _checked(state, values)


def get_pending(
    state: BufferState, connection: sqlite3.Connection, frame_id: int
) -> FrameRow | None:
    """Return a pending frame by its id."""
    values = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE id = ?",  # noqa: S608
        (frame_id,),
    ).fetchone()
    return None if values is None else _checked(state, values)


def walk(
    state: BufferState,
    connection: sqlite3.Connection,
    table: str,
    lane: int,
    *,
    after: int = 0,
    limit: int = -1,
) -> Iterator[FrameRow]:
    """Yield rows of ``pending`` or ``receipted`` of one lane in send order."""
    for values in connection.execute(
        f"SELECT {COLUMNS} FROM {table} WHERE id > ? AND id < ? ORDER BY id LIMIT ?",  # noqa: S608
        (max(after, lane << LANE_SHIFT), (lane + 1) << LANE_SHIFT, limit),
    ):
        yield _checked(state, values)


def frames_with_events(
    state: BufferState, connection: sqlite3.Connection, lane: int, *, after: int, limit: int
) -> list[FrameRow]:
    """Return the oldest pending frames of a lane that are not gaps already."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM pending WHERE id > ? AND id < ? AND count > 0 ORDER BY id LIMIT ?",  # noqa: S608
        (max(after, lane << LANE_SHIFT), (lane + 1) << LANE_SHIFT, limit),
    )
    return [_checked(state, values) for values in found.fetchall()]


def body_of(connection: sqlite3.Connection, row: FrameRow) -> bytes | None:
    """Return a frame's bytes, or None when they are not what was sealed.

    The cast keeps a flipped type (a blob that says it is text) from failing in the driver.
    """
    found = connection.execute(
        "SELECT CAST(data AS BLOB) FROM bodies WHERE id = ?", (row.body,)
    ).fetchone()
    if found is None or type(found[0]) is not bytes or digest_of(found[0]) != row.digest:
        return None
    data: bytes = found[0]
    return data


def gap_bytes(
    state: BufferState, *, epoch: int, lane: int, first: int, span: int, reason: GapReason
) -> bytes:
    """Seal a frame that says: these sequences will never come, for this reason."""
    shared = state.epochs[epoch]
    header = gap_header(
        shared.address,
        lane=LANES[lane],
        order=shared.orders[lane],
        epoch=epoch,
        first=first,
        span=span,
        reason=reason,
    )
    return seal_frame(header, b"", state.key)


def to_ref(state: BufferState, row: FrameRow) -> FrameRef:
    """Return what the uplink sees of a frame."""
    shared = state.epochs[row.epoch]
    return FrameRef(
        id=row.id,
        address=shared.address,
        epoch=row.epoch,
        lane=LANES[row.lane],
        first=row.first,
        span=row.span,
        count=row.events,
        digest=row.digest,
        size_bytes=row.size,
        order=shared.orders[row.lane],
        published=state.is_published(row.id),
    )
