"""Sealing again what was never published: cut to size, or under a new epoch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.epochs import open_epoch
from whimbrel_agent.buffer.frames import (
    FrameRow,
    add_pending,
    body_of,
    drop_pending,
    walk,
)
from whimbrel_agent.buffer.gaps import add_gap, put_aside, replace_by_gap
from whimbrel_agent.buffer.runs import LostRun, Place, SealedRun, seal_events
from whimbrel_agent.buffer.sealer import Sealer
from whimbrel_agent.buffer.staging import Stamp
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState
from whimbrel_agent.buffer.streams import Stream
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.header import FrameHeader
from whimbrel_protocol.lanes import GapReason


class Range(NamedTuple):
    """Sequences of one epoch, from ``first`` to ``last``."""

    epoch: int
    first: int
    last: int


class Content(NamedTuple):
    """A frame's header and its events with their sequences; what has none was thinned."""

    header: FrameHeader
    items: list[tuple[int, Event]]

    def between(self, first: int, last: int) -> Content:
        """Return the part of it in a range."""
        return self._replace(items=[item for item in self.items if first <= item[0] <= last])

    def moved(self, by: int) -> Content:
        """Return it with other sequences."""
        return self._replace(items=[(sequence + by, event) for sequence, event in self.items])


class Cut(NamedTuple):
    """What cutting a frame came to: frames made, and how many of its events lie in them."""

    frames: int
    events: int


def rotate(state: BufferState, sealer: Sealer, *, above: int, forked: bool) -> None:
    """Open a new epoch with a start count over ``above``; what was accepted so far is sealed."""
    for lane in range(LANE_COUNT):
        seal_lane(state, sealer, lane)
    former = state.epoch
    open_epoch(state, max(ordinal_of(former), above) + 1)
    state.former_epochs.add(former)
    state.counters["epochs_rotated"] += 1
    state.counters["epochs_rotated_by_fork"] += forked


def seal_lane(state: BufferState, sealer: Sealer, lane: int) -> None:
    """Seal all that waits in a lane: frames that are moved behind it must not overtake it."""
    while state.staged[lane].slots:
        sealer.seal(lane)


def opened(state: BufferState, connection: sqlite3.Connection, row: FrameRow) -> Content | None:
    """Return what is in a frame; a damaged frame becomes a gap, and None."""
    data = body_of(connection, row)
    try:
        if data is not None:
            frame = open_frame(data)
            events = decode_events(frame.columns, state.shelf.at_hand)
            items = list(zip(frame.header.sequences(), events, strict=True))
            return Content(frame.header, items)
    except RemoteProtocolError as error:
        put_aside(state, connection, data or b"", str(error))
    state.counters["damaged_frames"] += 1
    replace_by_gap(state, connection, row, GapReason.DAMAGED)
    return None


def cut(
    state: BufferState,
    connection: sqlite3.Connection,
    row: FrameRow,
    holes: Sequence[tuple[int, int]],
) -> Cut | None:
    """Seal again only some ranges of a never-published frame; None where it was damaged."""
    if row.events == 0:
        drop_pending(state, connection, row)
        for place, (first, last) in enumerate(holes):
            add_gap(
                state,
                connection,
                epoch=row.epoch,
                lane=row.lane,
                first=first,
                span=last - first + 1,
                reason=GapReason(row.reason),
                frame_id=row.id + place,
                wall_ns=row.wall_ns,
            )
        return Cut(len(holes), 0)
    content = opened(state, connection, row)
    if content is None:
        return None
    drop_pending(state, connection, row)
    made = kept = 0
    for first, last in holes:
        part = content.between(first, last)
        kept += len(part.items)
        made += seal_again(state, connection, row, part, Range(row.epoch, first, last), at=made)
    return Cut(made, kept)


def move_stream(state: BufferState, stream: Stream) -> int:
    """Move a stream's never-published frames into the present epoch; returns the frames made."""
    moved = 0
    while True:
        with state.database.reading() as connection:
            after = state.published_through[stream.lane]
            rows = []
            for row in walk(state, connection, "pending", stream.lane, after=after):
                if row.epoch == stream.epoch:
                    rows.append(row)
                if len(rows) == capacity.BATCH:
                    break
        if not rows:
            return moved
        following = list(state.next_sequence)
        with state.change() as connection:
            former = state.streams.change(stream.epoch, stream.lane)
            for row in rows:
                made, span = _move(state, connection, row, following[row.lane])
                moved += made
                following[row.lane] += span
            state.streams.change(state.epoch, stream.lane).sealed_through = (
                following[stream.lane] - 1
            )
            former.sealed_through = _last_kept(connection, former)
            state.reserve_numbers(stream.lane, following[stream.lane] - 1)
        state.next_sequence = following


def _last_kept(connection: sqlite3.Connection, stream: Stream) -> int:
    last = connection.execute(
        "SELECT max(first + span - 1) FROM pending WHERE epoch = ? AND id >> 56 = ?",
        (stream.epoch, stream.lane),
    ).fetchone()[0]
    return max(last or 0, stream.settled.last)


def _move(
    state: BufferState, connection: sqlite3.Connection, row: FrameRow, first: int
) -> tuple[int, int]:
    """Move one frame; returns the frames made and the sequences used."""
    content = opened(state, connection, row) if row.events else None
    if row.events and content is None:
        return 0, 0  # a gap now, under its old numbers
    drop_pending(state, connection, row)
    if content is None:
        add_gap(
            state,
            connection,
            epoch=state.epoch,
            lane=row.lane,
            first=first,
            span=row.span,
            reason=GapReason(row.reason),
            wall_ns=row.wall_ns,
        )
        return 1, row.span
    where = Range(state.epoch, first, first + row.span - 1)
    content = content.moved(first - row.first)
    return seal_again(state, connection, row, content, where), row.span


def seal_again(
    state: BufferState,
    connection: sqlite3.Connection,
    row: FrameRow,
    content: Content,
    where: Range,
    *,
    at: int | None = None,
) -> int:
    """Seal events of an old frame anew; returns the frames made.

    Args:
        state: the buffer's.
        connection: inside the caller's transaction.
        row: the old frame, which is gone.
        content: what of it is kept.
        where: what the new frames cover.
        at: puts them in the old one's place, after so many others, instead of at the end.
    """
    header, items = content
    if not items:
        _put_thinned(state, connection, row, where, at=at)
        return 1
    stamp = Stamp(header.mono_ms * 10**6, row.wall_ns, header.clock)
    runs = seal_events(
        state,
        Place(where.epoch, row.lane, where.first, stamp, header.boot_id),
        [event for _, event in items],
        sequences=[sequence for sequence, _ in items],
        last=where.last,
    )
    for number, run in enumerate(runs):
        frame_id = None if at is None else row.id + at + number
        if isinstance(run, SealedRun):
            add_pending(
                state,
                connection,
                run.data,
                lane=row.lane,
                epoch=where.epoch,
                first=run.first,
                span=run.span,
                count=run.events,
                wall_ns=row.wall_ns,
                frame_id=frame_id,
            )
        elif isinstance(run, LostRun):
            state.ledger.add(row.lane, int(GapReason.DAMAGED), run.events)
            add_gap(
                state,
                connection,
                epoch=where.epoch,
                lane=row.lane,
                first=run.first,
                span=run.span,
                reason=GapReason.DAMAGED,
                frame_id=frame_id,
            )
    return len(runs)


def _put_thinned(
    state: BufferState,
    connection: sqlite3.Connection,
    row: FrameRow,
    where: Range,
    *,
    at: int | None,
) -> None:
    add_gap(
        state,
        connection,
        epoch=where.epoch,
        lane=row.lane,
        first=where.first,
        span=where.last - where.first + 1,
        reason=GapReason.THINNED,
        frame_id=None if at is None else row.id + at,
        wall_ns=row.wall_ns,
    )
