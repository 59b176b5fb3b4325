"""What a region has not where it should: sent again where it was kept, else a gap."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.frames import (
    FrameRow,
    body_of,
    drop_receipted,
    put_pending,
    take_receipted,
    walk,
)
from whimbrel_agent.buffer.gaps import add_gap
from whimbrel_agent.buffer.ledger import DELIVERED
from whimbrel_agent.buffer.schema import LANE_SHIFT
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.streams import Stream
from whimbrel_protocol.lanes import GapReason, Order
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
    _bring_back(state, stream, ranges, progress)
    progress.lost_events += _account(state, stream, ranges, GapReason.LOST_AFTER_RECEIPT)


def close_holes(state: BufferState, stream: Stream, ranges: RangeSet, progress: Progress) -> None:
    """Fill what stands in the way of an in-order lane although the region gave a receipt for it.

    Frames that are still kept are sent once more. Where that does not help, a copy of this device
    has committed a part of the frame's range: the frame itself became a fork, and the rest of its
    range would be wanted from us for ever. A gap takes its place.
    """
    shared = state.epochs[stream.epoch]
    if not stream.pending_frames or shared.orders[stream.lane] is not Order.IN_ORDER:
        return
    tried = (stream.epoch, stream.lane)
    if tried not in state.brought_back:
        state.brought_back.add(tried)
        _bring_back(state, stream, ranges, progress)
    else:
        forked = _lacking(state, stream, ranges)
        with state.change() as connection:
            for row in forked:  # a gap will stand for a part of its range
                drop_receipted(state, connection, row)
    _account(state, stream, ranges, GapReason.FORKED)


def _lacking(state: BufferState, stream: Stream, ranges: RangeSet) -> list[FrameRow]:
    """Return receipted frames that the region does not have whole."""
    with state.database.reading() as connection:
        return [
            row
            for row in walk(state, connection, "receipted", stream.lane)
            if row.epoch == stream.epoch and not ranges.covers(row.first, row.last)
        ]


def _bring_back(state: BufferState, stream: Stream, ranges: RangeSet, progress: Progress) -> None:
    rows = _lacking(state, stream, ranges)
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


def _account(state: BufferState, stream: Stream, ranges: RangeSet, reason: GapReason) -> int:
    """Put a gap in the place of everything settled that the region lacks; returns its span."""
    holes = [hole for first, last in stream.settled for hole in ranges.missing(first, last)]
    for first, last in holes:
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
                reason=reason,
                frame_id=_id_between(connection, stream, first),
            )
            state.ledger.move(stream.lane, span, out_of=DELIVERED, into=int(reason))
            state.counters[reason.name.lower()] += span
    return sum(last - first + 1 for first, last in holes)


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
