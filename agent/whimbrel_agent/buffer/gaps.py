"""Putting a gap in the place of a frame that will never be delivered.

A frame that may have been published is replaced by a gap of exactly its range (first commit
wins, at the region). Neighbouring gaps that were never published grow together, so that weeks
of evictions cost a few hundred bytes.
"""

from __future__ import annotations

import sqlite3

from whimbrel_agent.buffer.frames import (
    FrameRow,
    add_pending,
    drop_pending,
    find_pending,
    gap_bytes,
)
from whimbrel_agent.buffer.schema import LANE_SHIFT
from whimbrel_agent.buffer.state import BufferState
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.limits import MAX_SPAN


def replace_by_gap(
    state: BufferState, connection: sqlite3.Connection, row: FrameRow, reason: GapReason
) -> FrameRow:
    """Replace a pending frame by a gap and account its events; returns the gap's row."""
    state.ledger.add(row.lane, int(reason), row.events)
    first, last, frame_id = row.first, row.last, row.id
    drop_pending(state, connection, row)
    if not state.is_published(row.id):
        before = _neighbour_before(state, connection, row)
        if before is not None and _can_join(state, before, row, reason):
            first, frame_id = before.first, before.id
            drop_pending(state, connection, before)
        after = find_pending(state, connection, row.epoch, row.lane, row.last + 1)
        if after is not None and _can_join(state, after, row, reason):
            last = after.last
            drop_pending(state, connection, after)
    return add_gap(
        state,
        connection,
        epoch=row.epoch,
        lane=row.lane,
        first=first,
        span=last - first + 1,
        reason=reason,
        frame_id=frame_id,
        wall_ns=row.wall_ns,
    )


def add_gap(
    state: BufferState,
    connection: sqlite3.Connection,
    *,
    epoch: int,
    lane: int,
    first: int,
    span: int,
    reason: GapReason,
    frame_id: int | None = None,
    wall_ns: int = 0,
) -> FrameRow:
    """Insert a gap frame; accounting is the caller's."""
    data = gap_bytes(state, epoch=epoch, lane=lane, first=first, span=span, reason=reason)
    return add_pending(
        state,
        connection,
        data,
        lane=lane,
        epoch=epoch,
        first=first,
        span=span,
        count=0,
        reason=int(reason),
        wall_ns=wall_ns,
        frame_id=frame_id,
    )


def _neighbour_before(
    state: BufferState, connection: sqlite3.Connection, row: FrameRow
) -> FrameRow | None:
    found = connection.execute(
        "SELECT first FROM pending WHERE id < ? AND id > ? ORDER BY id DESC LIMIT 1",
        (row.id, row.lane << LANE_SHIFT),
    ).fetchone()
    if found is None:
        return None
    before = find_pending(state, connection, row.epoch, row.lane, found[0])
    return before if before is not None and before.last + 1 == row.first else None


def _can_join(state: BufferState, gap: FrameRow, row: FrameRow, reason: GapReason) -> bool:
    return (
        gap.events == 0
        and gap.reason == int(reason)
        and not state.is_published(gap.id)
        and gap.span + row.span <= MAX_SPAN
    )


def put_aside(state: BufferState, connection: sqlite3.Connection, data: bytes, why: str) -> None:
    """Keep damaged or refused bytes for people, within the quarantine's share."""
    cap = int(state.config.max_bytes * state.config.quarantine_share)
    if len(data) > cap:
        state.counters["quarantine_dropped"] += 1
        return
    while state.quarantine_bytes + len(data) > cap:
        found = connection.execute(
            "SELECT id, length(data) FROM quarantine ORDER BY id LIMIT 1"
        ).fetchone()
        if found is None:
            break
        connection.execute("DELETE FROM quarantine WHERE id = ?", (found[0],))
        state.quarantine_bytes -= found[1]
        state.counters["quarantine_dropped"] += 1
    connection.execute(
        "INSERT INTO quarantine (wall_ns, why, data) VALUES (?, ?, ?)",
        (state.clock.wall_ns(), why[:400], data),
    )
    state.quarantine_bytes += len(data)
