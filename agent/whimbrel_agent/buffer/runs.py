"""Runs of events of one stream, made into frames and put into the database.

A run covers its sequences without a hole. A thinned one has fewer events than sequences: the
frame says which are left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whimbrel_agent.buffer.frames import add_pending
from whimbrel_agent.buffer.gaps import add_gap, put_aside
from whimbrel_agent.buffer.ledger import ACCEPTED
from whimbrel_agent.buffer.staging import Stamp
from whimbrel_agent.buffer.state import BufferState
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import seal_frame
from whimbrel_protocol.header import FrameHeader, InnerGap, name_zones
from whimbrel_protocol.lanes import LANES, GapReason


@dataclass(frozen=True, slots=True)
class SealedRun:
    """One frame's bytes and what it covers: ``span`` sequences with ``events`` events."""

    first: int
    span: int
    events: int
    wall_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LostRun:
    """Sequences whose staged row was damaged, and what is left of its bytes."""

    first: int
    span: int
    events: int
    remains: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of events stands: its numbers, and the clocks when its first was accepted.

    ``boot_id`` is the boot that the stamp belongs to, None for the epoch's own.
    """

    epoch: int
    lane: int
    first: int
    stamp: Stamp
    boot_id: bytes | None = None

    def at(self, first: int) -> Place:
        """Return the place at another sequence."""
        return replace(self, first=first)


def seal_events(
    state: BufferState,
    place: Place,
    events: Sequence[Event],
    *,
    sequences: Sequence[int] | None = None,
    last: int | None = None,
) -> list[SealedRun | LostRun]:
    """Seal events with rising sequences; in halves where one frame cannot hold them.

    Args:
        state: whose key and epochs are used.
        place: of the first sequence covered.
        events: at least one.
        sequences: of a thinned run: where each event stands; else they follow each other.
        last: of a thinned run: the last sequence covered.
    """
    numbers = range(place.first, place.first + len(events)) if sequences is None else sequences
    end = numbers[-1] if last is None else last
    span = end - place.first + 1
    try:
        data = _frame(state, place, events, span, inner_gaps(place.first, numbers, end))
    except LocalProtocolError as error:
        if len(events) == 1:
            return [LostRun(place.first, span, 1, b"", f"event cannot be sealed: {error}")]
    else:
        return [SealedRun(place.first, span, len(events), place.stamp.wall_ns, data)]
    middle = len(events) // 2
    border = numbers[middle]
    return [
        *seal_events(state, place, events[:middle], sequences=numbers[:middle], last=border - 1),
        *seal_events(
            state, place.at(border), events[middle:], sequences=numbers[middle:], last=end
        ),
    ]


def inner_gaps(first: int, sequences: Sequence[int], last: int) -> tuple[InnerGap, ...]:
    """Return what between ``first`` and ``last`` is none of the rising ``sequences``: thinned."""
    if last - first + 1 == len(sequences):
        return ()
    gaps = []
    expected = first
    for sequence in (*sequences, last + 1):
        if sequence > expected:
            gaps.append(InnerGap(expected - first, sequence - expected, int(GapReason.THINNED)))
        expected = sequence + 1
    return tuple(gaps)


def _frame(
    state: BufferState,
    place: Place,
    events: Sequence[Event],
    span: int,
    gaps: tuple[InnerGap, ...],
) -> bytes:
    times = [event.time_ns for event in events]
    shared = state.epochs[place.epoch]
    header = FrameHeader(
        address=shared.address,
        lane=LANES[place.lane],
        order=shared.orders[place.lane],
        epoch=place.epoch,
        first=place.first,
        span=span,
        count=len(events),
        gaps=gaps,
        time_min_s=min(times) // 10**9,
        time_max_s=max(times) // 10**9,
        mono_ms=place.stamp.mono_ns // 10**6,
        boot_id=place.boot_id or shared.boot_id,
        clock=place.stamp.quality,
        zones=name_zones(event.zone for event in events),
    )
    present = place.epoch == state.epoch
    dictionary = None  # the same for what an ended process left: a copy of the card has it too
    if state.config.dictionaries and shared.address == state.address:
        dictionary = state.shelf.for_sealing(state.address, state.generation)
    columns = state.encoder.encode(
        events, state.counters, state.now_s(), present=present, dictionary=dictionary
    )
    if state.learner is not None:
        state.learner.saw(events, columns, dictionary)
    return seal_frame(header, columns, state.key)


def insert_run(
    state: BufferState,
    connection: sqlite3.Connection,
    lane: int,
    epoch: int,
    run: SealedRun | LostRun,
) -> None:
    """Insert a sealed run, or the gap of a lost one, and account its events."""
    state.ledger.add(lane, ACCEPTED, run.span)
    if isinstance(run, SealedRun):
        state.ledger.add(lane, int(GapReason.THINNED), run.span - run.events)
        add_pending(
            state,
            connection,
            run.data,
            lane=lane,
            epoch=epoch,
            first=run.first,
            span=run.span,
            count=run.events,
            wall_ns=run.wall_ns,
        )
        return
    state.ledger.add(lane, int(GapReason.DAMAGED), run.span)
    state.counters["damaged_rows"] += 1
    if run.remains:
        put_aside(state, connection, run.remains, run.why)
    add_gap(
        state,
        connection,
        epoch=epoch,
        lane=lane,
        first=run.first,
        span=run.span,
        reason=GapReason.DAMAGED,
    )
