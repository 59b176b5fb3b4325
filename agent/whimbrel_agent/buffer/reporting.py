"""Figures of the buffer, read in a few milliseconds at most."""

from __future__ import annotations

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.held import FULL_DURABILITY, WindowStats
from whimbrel_agent.buffer.schema import LANE_SHIFT
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import BufferStats, LaneStats
from whimbrel_protocol.lanes import LANES


def stats_of(state: BufferState) -> BufferStats:
    """Return the figures now."""
    with state.database.reading():
        free_pages = capacity.room(state) - state.held.pages(state.database.page_bytes)
        lanes = tuple(_lane_stats(state, lane) for lane in range(len(LANES)))
        return BufferStats(
            epoch=state.epoch,
            lanes=lanes,
            size_bytes=size_on_disk(state),
            max_bytes=state.config.max_bytes,
            free_bytes=max(0, free_pages) * state.database.page_bytes,
            receipted_bytes=sum(totals.receipted_bytes for totals in state.totals),
            quarantine_bytes=state.quarantine_bytes,
            counters=dict(state.counters),
            damage=state.damage,
            durability=durability_of(state),
            sealed_bytes_per_s=state.sealed_meter.per_s(state.now_s()),
            settled_bytes_per_s=state.settled_meter.per_s(state.now_s()),
        )


def durability_of(state: BufferState) -> str:
    """Say what an answered event is promised, with every window in force."""
    windows = [
        f"{LANES[lane]} within {config.durability_s:g} s"
        for lane, config in enumerate(state.lanes)
        if config.durability_s
    ]
    if not windows:
        return FULL_DURABILITY
    return f"every answered event is fsynced at once, but {', '.join(windows)}"


def size_on_disk(state: BufferState) -> int:
    """Return the bytes of all files that count against the cap."""
    path = state.database.path
    files = [path, *path.parent.glob(f"{path.name}[-.]*")]
    return sum(file.stat().st_size for file in files if file.exists())


def _lane_stats(state: BufferState, lane: int) -> LaneStats:
    totals, staged = state.totals[lane], state.staged[lane]
    oldest = state.database.connection.execute(
        "SELECT wall_ns FROM pending WHERE id > ? AND id < ? ORDER BY id LIMIT 1",
        (lane << LANE_SHIFT, (lane + 1) << LANE_SHIFT),
    ).fetchone()
    return LaneStats(
        lane=LANES[lane],
        staged_events=staged.events,
        pending_frames=totals.pending_frames,
        pending_events=totals.pending_events,
        pending_bytes=totals.pending_bytes,
        receipted_frames=totals.receipted_frames,
        oldest_wall_ns=oldest[0] if oldest else None,
        ledger=state.ledger.line(lane, staged=staged.events, pending=totals.pending_events),
        window=_window(state, lane),
    )


def _window(state: BufferState, lane: int) -> WindowStats:
    staged = state.staged[lane]
    since_ns = staged.held_since_ns()
    return WindowStats(
        durability_s=state.lanes[lane].durability_s,
        held_events=staged.held_events,
        held_bytes=sum(slot.size_bytes for slot in staged.held()),
        held_s=None if since_ns is None else (state.clock.mono_ns() - since_ns) / 1e9,
        lost_events=state.lost_in_window[lane],
        decision=state.decided[lane],
    )
