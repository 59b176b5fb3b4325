"""What the uplink reads and marks: pending frames in send order, bytes, published windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.frames import (
    FrameRow,
    body_of,
    frames_with_events,
    get_pending,
    to_ref,
    walk,
)
from whimbrel_agent.buffer.gaps import put_aside, replace_by_gap
from whimbrel_agent.buffer.schema import LANE_SHIFT, row_sum
from whimbrel_agent.buffer.state import FRAME_STRIDE, BufferState
from whimbrel_agent.buffer.values import FrameRef
from whimbrel_protocol.lanes import LANES, GapReason, Order
from whimbrel_protocol.names import Address

PUBLISH_WINDOW: Final = 64
"""Frames marked "may have been published" ahead: one sync for all of them, and at most so many
never-sent frames of a lane that thinning and merging must leave alone after a restart."""


def pending(
    state: BufferState, lane: int, after_id: int, limit: int, at: Address | None = None
) -> list[FrameRef]:
    """Return what may be sent in a lane after a frame, in send order.

    In an in-order lane no frame of a newer epoch comes while an older epoch to the same address
    has unsettled ones. Frames of streams that the last resume could not ask about are left out.

    Args:
        at: only frames of this address; None means those of every address in the present region.
    """

    def wanted(address: Address) -> bool:
        return address == at if at is not None else address.region == state.address.region

    front: dict[str, int] = {}
    for stream in state.streams:
        address = state.epochs[stream.epoch].address
        if stream.lane == lane and stream.pending_frames and wanted(address):
            front.setdefault(str(address), stream.epoch)
    refs: list[FrameRef] = []
    with state.database.reading() as connection:
        for row in walk(state, connection, "pending", lane, after=after_id):
            if len(refs) >= limit:
                break
            shared = state.epochs[row.epoch]
            if not wanted(shared.address):
                continue
            behind = row.epoch != front[str(shared.address)]
            if behind and shared.orders[lane] is Order.IN_ORDER and len(front) == 1:
                break
            if (row.epoch, lane) in state.unasked or (
                behind and shared.orders[lane] is Order.IN_ORDER
            ):
                continue
            refs.append(to_ref(state, row))
    return refs


def load(state: BufferState, frame_id: int, digest: bytes | None = None) -> bytes | None:
    """Return a pending frame's bytes, or None when it is gone.

    A frame whose bytes are not what was sealed is put aside and becomes a gap. With a digest, one
    that has another is not the frame that was meant.
    """
    with state.database.reading() as connection:
        row = get_pending(state, connection, frame_id)
        if row is not None and digest not in {None, row.digest}:
            return None
        data = None if row is None else body_of(connection, row)
    if row is None or data is not None:
        return data
    state.counters["damaged_frames"] += 1
    _put_gap(state, row, GapReason.DAMAGED, "frame's bytes have another digest")
    return None


def elsewhere(state: BufferState) -> dict[Address, int]:
    """Return how much waits for other regions than the present one, by address, oldest first.

    Counted are frames, and rows that are still to be sealed into some.
    """
    waiting: Counter[Address] = Counter()
    for stream in state.streams:
        if stream.pending_frames:
            waiting[state.epochs[stream.epoch].address] += stream.pending_frames
    for lane in state.staged:
        for slot in lane.slots:
            if slot.epoch == state.epoch:
                break  # rows of older epochs are in front
            waiting[state.epochs[slot.epoch].address] += 1
    return {one: n for one, n in waiting.items() if one.region != state.address.region}


def kept_elsewhere(state: BufferState) -> list[Address]:
    """Return the addresses in other regions whose receipted frames are still kept."""
    with state.database.reading() as connection:
        epochs = sorted(
            row[0] for row in connection.execute("SELECT DISTINCT epoch FROM receipted")
        )
    addresses = dict.fromkeys(state.epochs[epoch].address for epoch in epochs)
    return [one for one in addresses if one.region != state.address.region]


def newest_ids(state: BufferState) -> dict[str, int]:
    """Return the greatest frame id given so far, per lane."""
    return {
        lane: (number << LANE_SHIFT) + state.next_frame[number] - 1
        for number, lane in enumerate(LANES)
    }


def quarantine(state: BufferState, frame_id: int, why: str) -> None:
    """Put a frame's bytes aside; a gap takes its place."""
    with state.database.reading() as connection:
        row = get_pending(state, connection, frame_id)
    if row is not None:
        state.counters["quarantined_frames"] += 1
        _put_gap(state, row, GapReason.QUARANTINED, why)


def _put_gap(state: BufferState, row: FrameRow, reason: GapReason, why: str) -> None:
    def work() -> None:
        with state.change() as connection:
            found = connection.execute(
                "SELECT CAST(data AS BLOB) FROM bodies WHERE id = ?", (row.body,)
            ).fetchone()
            if found is not None and found[0] is not None:
                put_aside(state, connection, found[0], why)
            if row.events:
                replace_by_gap(state, connection, row, reason)
            else:
                replace_by_gap(state, connection, row, GapReason(row.reason))

    capacity.freeing(state, work)


def discard(state: BufferState, lane: int) -> int:
    """Turn all pending frames of a lane into gaps; returns how many events that were."""
    events = 0
    while True:
        with state.change() as connection:
            rows = frames_with_events(state, connection, lane, after=0, limit=capacity.BATCH)
            for row in rows:
                replace_by_gap(state, connection, row, GapReason.DISCARDED)
        if not rows:
            return events
        events += sum(row.events for row in rows)


def load_many(state: BufferState, frames: Sequence[FrameRef]) -> list[bytes | None]:
    """Load frames; None also for those in whose place another one stands by now."""
    return [load(state, one.id, one.digest) for one in frames]


def load_to_send(state: BufferState, frames: Sequence[FrameRef]) -> list[bytes | None]:
    """Load frames once they are durably known as perhaps sent."""
    newest = dict(sorted((one.lane, one.id) for one in frames))
    for up_to_id in newest.values():
        reserve_published(state, up_to_id)
    return load_many(state, frames)


def reserve_published(state: BufferState, up_to_id: int) -> None:
    """See to it that frames of a lane up to an id are durably known as perhaps sent.

    A window of ids ahead is made durable with them, of frames that do not exist yet too, so
    that one commit serves ``PUBLISH_WINDOW`` frames also when each is sent as soon as it is
    sealed. This process goes on by what it was asked for; only the next one must take the
    whole window as published.
    """
    lane = up_to_id >> LANE_SHIFT
    if up_to_id > state.window_through[lane]:
        _reserve_window(state, lane, up_to_id + PUBLISH_WINDOW * FRAME_STRIDE)
    state.published_through[lane] = max(state.published_through[lane], up_to_id)


def _reserve_window(state: BufferState, lane: int, through: int) -> None:
    def work() -> None:
        with state.change() as connection:
            state.write_fact(connection, f"published {lane}", through.to_bytes(8, "big"))

    capacity.freeing(state, work)
    state.window_through[lane] = through


def read_checkpoint(state: BufferState, name: str) -> bytes | None:
    """Return an importer's position, or None when there is none or it is damaged."""
    with state.database.reading() as connection:
        found = connection.execute(
            "SELECT value, sum FROM checkpoints WHERE name = ?", (name,)
        ).fetchone()
    if found is None or row_sum(name, found[0]) != found[1]:
        return None
    value: bytes = found[0]
    return value
