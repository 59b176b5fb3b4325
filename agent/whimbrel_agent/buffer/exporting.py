"""Reading events back out of the buffer, a slice at a time so that memory stays flat."""

from __future__ import annotations

import sqlite3
from itertools import islice

from whimbrel_agent.buffer.frames import FrameRow, body_of, walk
from whimbrel_agent.buffer.schema import LANE_SHIFT
from whimbrel_agent.buffer.staging import DamagedRowError, read_row
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import ExportedEvent
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANES


def export_slice(
    state: BufferState, table: str, lane: int, after: int
) -> tuple[int, list[ExportedEvent]]:
    """Return the events of the next frame or staged row, and where it lies (0: the end).

    Damaged ones are passed over and counted: nothing damaged is shown as good.
    """
    with state.database.reading() as connection:
        if table == "staged":
            return _staged(state, connection, lane, after)
        for row in islice(walk(state, connection, table, lane, after=after), 1):
            return row.id, _frame(state, connection, row)
    return 0, []


def _frame(
    state: BufferState, connection: sqlite3.Connection, row: FrameRow
) -> list[ExportedEvent]:
    data = body_of(connection, row)
    if data is None:
        state.counters["export_skipped_frames"] += 1
        return []
    frame = open_frame(data)
    try:
        events = decode_events(frame.columns, state.shelf.at_hand) if row.events else []
    except RemoteProtocolError:  # its dictionary was lost with a damaged page
        state.counters["export_skipped_frames"] += 1
        return []
    sequences = frame.header.sequences() if row.events else ()
    name = LANES[row.lane]
    return [
        ExportedEvent(row.epoch, name, sequence, event)
        for sequence, event in zip(sequences, events, strict=True)
    ]


def _staged(
    state: BufferState, connection: sqlite3.Connection, lane: int, after: int
) -> tuple[int, list[ExportedEvent]]:
    found = connection.execute(
        "SELECT id, CAST(body AS BLOB) FROM staged WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
        (max(after, lane << LANE_SHIFT), (lane + 1) << LANE_SHIFT),
    ).fetchone()
    if found is None:
        return 0, []
    try:
        row = read_row(found[1] or b"")
        events = row.events()
    except DamagedRowError:
        state.counters["export_skipped_rows"] += 1
        return found[0], []
    return found[0], [
        ExportedEvent(row.epoch, LANES[lane], sequence, event)
        for sequence, event in enumerate(events, row.first)
    ]
