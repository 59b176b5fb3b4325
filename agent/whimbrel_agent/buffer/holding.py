"""Answering events before they are on the disk, within a lane's window, and writing them later.

In a lane, what is held comes after everything that is on the disk, and whatever is written takes
with it all that is held in its lane: sequences stand in order on the disk at every moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.held import MAX_HELD_BYTES, HeldRow
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.staging import Pack, Stamp, join_packs, write_row
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState, StagedSlot
from whimbrel_agent.buffer.windows import is_overdue


class Row(NamedTuple):
    """A row to come: where it will lie, its events, and when they were accepted."""

    slot: StagedSlot
    pack: Pack
    stamp: Stamp


def may_hold(state: BufferState, sizes: Mapping[int, int], now_ns: int) -> frozenset[int]:
    """Return the lanes of a group whose events may wait in memory.

    Not those whose oldest should be on the disk already, and none when memory is used up.

    Args:
        state: the buffer's.
        sizes: packed bytes of the group by lane; only lanes that nothing else makes durable.
        now_ns: now, monotonic.
    """
    if state.held.size_bytes + sum(sizes.values()) > MAX_HELD_BYTES:
        return frozenset()
    return frozenset(lane for lane in sizes if _is_open(state, lane, now_ns))


def _is_open(state: BufferState, lane: int, now_ns: int) -> bool:
    since_ns = state.staged[lane].held_since_ns()
    config = state.lanes[lane]
    if not config.durability_s:
        return False
    return since_ns is None or not is_overdue(since_ns, config, now_ns)


def rows_of(
    state: BufferState, packs: Sequence[Pack], stamp: Stamp, *, first: int, row_id: int
) -> list[Row]:
    """Lay packs out as rows of the present epoch, from a sequence and a row id on."""
    rows = []
    for pack in join_packs(packs) if packs else ():
        size = len(pack.rows)
        slot = StagedSlot(row_id, state.epoch, first, pack.count, size, stamp.mono_ns)
        rows.append(Row(slot, pack, stamp))
        first += pack.count
        row_id += 1
    return rows


def hold(state: BufferState, rows: Iterable[Row]) -> None:
    """Keep rows in memory, at the end of their lanes."""
    for slot, pack, stamp in rows:
        state.staged[pack.lane].push(slot._replace(held=True))
        state.held.put(slot.id, HeldRow(slot.epoch, slot.first, stamp, pack))


def insert_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert staged rows inside the caller's transaction."""
    for slot, pack, stamp in rows:
        body = write_row(pack, epoch=slot.epoch, first=slot.first, stamp=stamp)
        connection.execute("INSERT INTO staged VALUES (?, ?)", (slot.id, body))


def held_rows(state: BufferState, lane: int) -> list[Row]:
    """Lay out anew what is held in a lane: many small accepts, few rows."""
    slots = state.staged[lane].held()
    if not slots:
        return []
    held = [state.held.get(slot.id) for slot in slots]
    first, row_id, stamp = slots[0].first, slots[0].id, held[0].stamp
    return rows_of(state, [row.pack for row in held], stamp, first=first, row_id=row_id)


def put_staged(state: BufferState, recent: Recent, lane: int, rows: Sequence[Row]) -> None:
    """Take note of rows that are on the disk now, in the place of all that was held in the lane."""
    staged = state.staged[lane]
    if staged.held_rows:
        state.written_at_once[lane] = staged.held_events
        state.held.drop(slot.id for slot in staged.take_held())
    for slot, pack, stamp in rows:
        staged.push(slot)
        recent.put(slot, pack, stamp)
    state.set_next_staged(lane, rows[-1].slot.id + 1)


def write_held(state: BufferState, recent: Recent, lanes: Sequence[int] = range(LANE_COUNT)) -> int:
    """Write what is held as staged rows, durable when it returns; returns the events."""
    rows = {lane: found for lane in lanes if (found := held_rows(state, lane))}

    def work() -> None:
        with state.database.transaction() as connection:
            for found in rows.values():
                insert_rows(connection, found)

    if rows:
        capacity.freeing(state, work)
    for lane, found in rows.items():
        put_staged(state, recent, lane, found)
    events = sum(row.slot.events for found in rows.values() for row in found)
    state.counters["held_written"] += events
    return events
