"""Makes room in a full buffer, in the order that :mod:`.givingway` decides. What gives way becomes a gap."""

from __future__ import annotations

import sqlite3
from typing import Final

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.frames import FrameRow, drop_pending, frames_with_events
from whimbrel_agent.buffer.gaps import replace_by_gap
from whimbrel_agent.buffer.givingway import (
    How,
    OverflowDecision,
    OverflowInputs,
    WayStep,
    decide_overflow,
)
from whimbrel_agent.buffer.reissuing import Range, opened, seal_again
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.thinning import Step, thin
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_protocol.lanes import LANES, GapReason

THIN_LOOKS: Final = 4
"""Frames looked into at once: some 10 ms each on a small board, while accepts wait."""


def make_room(state: BufferState, pages: int, lane: int) -> None:
    """See to it that ``pages`` are free for events of ``lane`` or less urgent ones.

    Raises:
        BufferFullError: nothing more may be dropped.
    """
    if capacity.has_room(state, pages):
        return
    while (missing := pages - capacity.room(state)) > 0:
        at_cap = state.reserve.present
        steps = _decided(state, lane, at_cap=at_cap).steps
        if not any(_took(state, step, missing) for step in steps):
            state.counters["refused_full"] += 1
            why, remedy = (
                ("buffer is full", "raise [buffer] max_bytes")
                if at_cap
                else ("the disk is full", "make room on it")
            )
            raise BufferFullError(
                f"{why}: new events in lane {LANES[lane]} need {pages} pages of "
                f"{state.database.page_bytes} bytes, {max(0, capacity.room(state))} are free, and "
                f"no lane may drop more; wait for receipts, or {remedy}"
            )


def _decided(state: BufferState, lane: int, *, at_cap: bool) -> OverflowDecision:
    inputs = OverflowInputs(LANES[lane], at_cap, tuple(one.overflow for one in state.lanes))
    decision = decide_overflow(inputs)
    state.journal.note("overflow", decision, inputs, state.now_s(), said=decision)
    return decision


def _took(state: BufferState, step: WayStep, missing: int) -> bool:
    """Take one step; say whether it made any room."""
    match step.how:
        case How.RECEIPTED:
            return bool(capacity.trim_receipted(state, missing))
        case How.THIN:
            return any(_thin_lane(state, LANES.index(step.lane), one) for one in Step)
        case How.DROP:
            evicted = _evict_lane(state, missing, LANES.index(step.lane))
            state.counters["evicted_frames"] += evicted
            return evicted > 0


# ---------------------------------------------------------------------- thinning


def _thin_lane(state: BufferState, lane: int, step: Step) -> bool:
    """Take the next step on the oldest frames that have not had it, in one transaction."""
    after = max(state.published_through[lane], state.thinned_through[step][lane])
    before = last = thinned = 0

    def work() -> None:
        nonlocal before, last, thinned
        before, last, thinned = state.totals[lane].pending_bytes, after, 0
        with state.change() as connection:
            for row in frames_with_events(state, connection, lane, after=after, limit=THIN_LOOKS):
                thinned += _thin_frame(state, connection, row, step)
                last = row.id

    capacity.freeing(state, work)
    if thinned:
        state.counters["thinned_events"] += thinned
    state.thinned_through[step][lane] = max(last, state.thinned_through[step][lane])
    return state.totals[lane].pending_bytes < before


def _thin_frame(
    state: BufferState, connection: sqlite3.Connection, row: FrameRow, step: Step
) -> int:
    """Seal a frame again with fewer events, if any may go; returns how many went."""
    content = opened(state, connection, row)
    items = None if content is None else thin(content.items, step)
    if content is None or items is None:
        return 0
    drop_pending(state, connection, row)
    where = Range(row.epoch, row.first, row.last)
    seal_again(state, connection, row, content._replace(items=items), where, at=0)
    left_out = row.events - len(items)
    state.ledger.add(row.lane, int(GapReason.THINNED), left_out)
    return left_out


# ---------------------------------------------------------------------- dropping


def _evict_lane(state: BufferState, pages: int, lane: int) -> int:
    evicted = 0
    need = pages * state.database.page_bytes

    def work() -> None:
        nonlocal evicted
        evicted = freed = 0
        with state.change() as connection:
            after = state.published_through[lane]
            rows = frames_with_events(
                state, connection, lane, after=after, limit=capacity.BATCH
            ) or frames_with_events(state, connection, lane, after=0, limit=capacity.BATCH)
            for row in rows:
                replace_by_gap(state, connection, row, GapReason.EVICTED)
                evicted += 1
                freed += row.size
                if freed >= need:
                    break

    if state.totals[lane].pending_events:
        capacity.freeing(state, work)
    return evicted
