"""What a region restored from a backup has lost: sent again where it was kept, else a gap."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.frames import body_of, drop_receipted, put_pending, take_receipted, walk
from whimbrel_agent.buffer.gaps import add_gap
from whimbrel_agent.buffer.ledger import DELIVERED
from whimbrel_agent.buffer.schema import LANE_SHIFT
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.streams import Stream
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.sequences import RangeSet


@dataclass(slots=True)
class Progress:
    """Counts while an answer is worked through."""

    covered: int = 0
    resealed: int = 0
    returned: int = 0
    lost_events: int = 0


def return_lost(state: BufferState, stream: Stream, ranges: RangeSet, progress: Progress) -> None:
    """Bring back receipted frames that the region lacks; account what is not kept."""
    with state.database.reading() as connection:
        rows = [
            row
            for row in walk(state, connection, "receipted", stream.lane)
            if row.epoch == stream.epoch and not ranges.covers(row.first, row.last)
        ]
    for start in range(0, len(rows), capacity.BATCH):
        with state.change() as connection:
            changed = state.streams.change(stream.epoch, stream.lane)
            for row in rows[start : start + capacity.BATCH]:
                if body_of(connection, row) is None:
                    drop_receipted(state, connection, row)
                    state.counters["damaged_frames"] += 1
                    continue
                take_receipted(state, connection, row)
                put_pending(state, connection, row)
                changed.settled.remove(row.first, row.last)
                state.ledger.add(row.lane, DELIVERED, -row.events)
                progress.returned += 1
    lost = [hole for first, last in stream.settled for hole in ranges.missing(first, last)]
    for first, last in lost:
        with state.change() as connection:
            changed = state.streams.change(stream.epoch, stream.lane)
            changed.settled.remove(first, last)
            span = last - first + 1
            add_gap(
                state,
                connection,
                epoch=stream.epoch,
                lane=stream.lane,
                first=first,
                span=span,
                reason=GapReason.LOST_AFTER_RECEIPT,
                frame_id=_id_between(connection, stream, first),
            )
            state.ledger.move(
                stream.lane, span, out_of=DELIVERED, into=int(GapReason.LOST_AFTER_RECEIPT)
            )
            progress.lost_events += span
            state.counters["lost_after_receipt"] += span


def _id_between(connection: sqlite3.Connection, stream: Stream, first: int) -> int:
    """Return a free id in send order for a sequence: right after what comes before it."""
    lane = stream.lane << LANE_SHIFT
    before: int = (
        connection.execute(
            "SELECT max(id) FROM (SELECT id, epoch, first FROM pending"
            " UNION ALL SELECT id, epoch, first FROM receipted)"
            " WHERE id > ? AND id < ? AND (epoch < ? OR (epoch = ? AND first < ?))",
            (lane, lane + (1 << LANE_SHIFT), stream.epoch, stream.epoch, first),
        ).fetchone()[0]
        or lane
    )
    return before + 1
