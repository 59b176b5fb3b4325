"""Turns staged rows into frames: read, encode, then one transaction that swaps them.

What a frame says comes from the staged rows and from its epoch's row, never from "now". A
damaged row costs its own events only: a gap takes their place and the bytes are kept aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.detail import DetailDecision, DetailInputs, decide_detail
from whimbrel_agent.buffer.held import HeldRow
from whimbrel_agent.buffer.holding import write_held
from whimbrel_agent.buffer.recent import Recent, RecentRow
from whimbrel_agent.buffer.runs import LostRun, Place, SealedRun, insert_run, seal_events
from whimbrel_agent.buffer.sealing import (
    CLOSED_EPOCH_EVENTS,
    FIRST_RATIO,
    Unsealed,
    Waiting,
    deadline_ns,
    next_ratio,
    rows_to_seal,
)
from whimbrel_agent.buffer.staging import DamagedRowError, StagedRow, read_row
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState, StagedSlot
from whimbrel_agent.buffer.thinning import Step as ThinStep
from whimbrel_agent.buffer.thinning import thin
from whimbrel_agent.buffer.windows import Act, Step, next_step
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.messages import Detail

_READ_AT_ONCE: Final = 1_000


OpenRow = StagedRow | RecentRow | HeldRow
"""A row whose events can be had."""


class Sealer:
    """Seals one frame's worth at a time, so that accepts can come between.

    Attributes:
        sending: whether frames can leave now, as far as the uplink has said.
        detail: what is thinned as it is sealed.
        deadline_ns: when something will be due if nothing more is accepted, as of the last look.
    """

    def __init__(self, state: BufferState, recent: Recent) -> None:
        self._state = state
        self._recent = recent
        self._ratio = [FIRST_RATIO] * LANE_COUNT
        self._steps: dict[int, Step] = {}
        self.sending = True
        self.detail = DetailDecision()
        self.deadline_ns: int | None = None

    def ask(self, asked: Detail) -> None:
        """Thin as the region asks for, from the next frame on."""
        if asked is not self.detail.asked:
            inputs = DetailInputs(asked, tuple(one.overflow for one in self._state.lanes))
            self.detail = decide_detail(inputs)
            self._state.journal.note("detail", self.detail, inputs, self._state.now_s())

    def due_lane(self, now_mono_ns: int) -> int | None:
        """Return the most urgent lane with which something is to be done now."""
        pressing = any(s.events for s in self._state.staged) and capacity.is_pressing(self._state)
        look_ns: list[int] = []
        for lane, staged in enumerate(self._state.staged):
            if staged.slots:
                self._steps[lane] = step = self._step(lane, now_mono_ns, pressing=pressing)
                self._state.decided[lane] = f"{step.act.value}: {step.reason}"
                if step.act is not Act.WAIT:
                    return lane
                look_ns.append(step.look_ns)
        self.deadline_ns = min(look_ns, default=None)
        return None

    def carry_out(self, lane: int) -> int:
        """Do with a lane what :meth:`due_lane` found; returns the number of frames made."""
        if self._steps[lane].act is Act.WRITE:
            write_held(self._state, self._recent, [lane])
            return 0
        return self.seal(lane)

    def unsealed(self) -> tuple[Unsealed, ...]:
        """Return what waits in each lane that has something."""
        lanes = self._state.lanes
        return tuple(
            Unsealed(
                lane=LANES[lane],
                events=staged.events,
                batch_events=lanes[lane].batch_events,
                linger_s=lanes[lane].linger_s,
                deadline_ns=deadline_ns(self._waiting(lane), lanes[lane]),
            )
            for lane, staged in enumerate(self._state.staged)
            if staged.slots
        )

    def _waiting(self, lane: int) -> Waiting:
        staged = self._state.staged[lane]
        return Waiting(
            staged.events, staged.size_bytes, staged.slots[0].mono_ns, staged.held_since_ns()
        )

    def _step(self, lane: int, now_mono_ns: int, *, pressing: bool) -> Step:
        return next_step(
            self._waiting(lane),
            self._state.lanes[lane],
            now_mono_ns=now_mono_ns,
            ratio=self._ratio[lane],
            pressing=pressing,
            sending=self.sending,
        )

    def seal(self, lane: int) -> int:
        """Seal the oldest staged rows of a lane; returns the number of frames made."""
        state = self._state
        slots = self._choose(lane)
        rows = self._read(slots)
        runs = seal_rows(state, lane, rows, thinned=self.detail.step_of(lane))
        epoch = slots[0].epoch

        def work() -> None:
            with state.change() as connection:
                if not slots[0].held:
                    connection.execute(
                        "DELETE FROM staged WHERE id BETWEEN ? AND ?", (slots[0].id, slots[-1].id)
                    )
                for run in runs:
                    insert_run(state, connection, lane, epoch, run)
                state.streams.change(epoch, lane).sealed_through = slots[-1].first + (
                    slots[-1].events - 1
                )

        capacity.freeing(state, work)
        self._forget(lane, slots)
        sealed_bytes = sum(len(run.data) for run in runs if isinstance(run, SealedRun))
        packed_bytes = sum(slot.size_bytes for slot in slots)
        state.sealed_meter.add(sealed_bytes, state.now_s())
        if sealed_bytes:
            self._ratio[lane] = next_ratio(
                self._ratio[lane], frame_bytes=sealed_bytes, packed_bytes=packed_bytes
            )
        state.counters["sealed_frames"] += len(runs)
        thinned = sum(run.span - run.events for run in runs if isinstance(run, SealedRun))
        if thinned:
            state.counters["thinned_events"] += thinned
        return len(runs)

    def _forget(self, lane: int, slots: Sequence[StagedSlot]) -> None:
        """Let go of rows that are in frames now."""
        state = self._state
        held = [slot for slot in slots if slot.held]
        for _ in slots:
            state.staged[lane].pop()
        if held:
            state.held.drop(slot.id for slot in held)
            state.written_at_once[lane] = sum(slot.events for slot in held)

    def _choose(self, lane: int) -> list[StagedSlot]:
        slots = self._state.staged[lane].slots
        epoch = slots[0].epoch
        mine = [slot for slot in islice(slots, _READ_AT_ONCE) if slot.epoch == epoch]
        closed = epoch != self._state.epoch
        taken = rows_to_seal(
            ((slot.events, slot.size_bytes) for slot in mine),
            batch_events=CLOSED_EPOCH_EVENTS if closed else self._state.lanes[lane].batch_events,
            ratio=FIRST_RATIO if closed else self._ratio[lane],
        )
        return mine[:taken]

    def _read(self, slots: Sequence[StagedSlot]) -> Sequence[OpenRow | LostRun]:
        on_disk = [slot for slot in slots if not slot.held]
        held = [self._state.held.get(slot.id) for slot in slots if slot.held]
        return [*(self._read_disk(on_disk) if on_disk else ()), *held]

    def _read_disk(self, slots: Sequence[StagedSlot]) -> Sequence[OpenRow | LostRun]:
        recent = self._recent.take(slots)
        if recent is not None:
            return recent
        with self._state.database.reading() as connection:
            found = dict(
                connection.execute(
                    "SELECT id, CAST(body AS BLOB) FROM staged WHERE id BETWEEN ? AND ?",
                    (slots[0].id, slots[-1].id),
                ).fetchall()
            )
        return [_open(slot, found.get(slot.id) or b"") for slot in slots]


def _open(slot: StagedSlot, body: bytes) -> StagedRow | LostRun:
    try:
        row = read_row(body or b"")
    except DamagedRowError as error:
        return LostRun(slot.first, slot.events, slot.events, body, str(error))
    if (row.epoch, row.first, row.count) != (slot.epoch, slot.first, slot.events):
        return LostRun(
            slot.first, slot.events, slot.events, body, "staged row is not the one that stood here"
        )
    return row


def _events_of(row: OpenRow | LostRun) -> tuple[OpenRow | LostRun, Sequence[Event]]:
    if isinstance(row, LostRun):
        return row, ()
    if isinstance(row, RecentRow | HeldRow):
        return row, row.events
    try:
        return row, row.events()
    except DamagedRowError as error:
        return LostRun(row.first, row.count, row.count, row.packed, str(error)), ()


def seal_rows(
    state: BufferState,
    lane: int,
    rows: Sequence[OpenRow | LostRun],
    *,
    thinned: ThinStep | None = None,
) -> list[SealedRun | LostRun]:
    """Seal rows of one epoch and lane, in order; neighbours go into one frame.

    Args:
        state: the buffer's.
        lane: by number.
        rows: at least one.
        thinned: how far their series of numbers are thinned first.
    """
    runs: list[SealedRun | LostRun] = []
    events: list[Event] = []
    place: Place | None = None
    for row in rows:
        opened, more = _events_of(row)
        if isinstance(opened, LostRun):
            if place is not None:
                runs += _seal(state, place, events, thinned)
            runs.append(opened)
            place, events = None, []
            continue
        if place is None:
            place = Place(opened.epoch, lane, opened.first, opened.stamp)
        events += more
    if place is not None:
        runs += _seal(state, place, events, thinned)
    return runs


def _seal(
    state: BufferState, place: Place, events: Sequence[Event], thinned: ThinStep | None
) -> list[SealedRun | LostRun]:
    kept = None if thinned is None else thin(list(enumerate(events, place.first)), thinned)
    if kept is None:
        return seal_events(state, place, events)
    sequences = [sequence for sequence, _ in kept]
    last = place.first + len(events) - 1
    left = [event for _, event in kept]
    return seal_events(state, place, left, sequences=sequences, last=last)


def seal_part(
    state: BufferState, lane: int, row: StagedRow, *, first: int, count: int
) -> list[SealedRun | LostRun]:
    """Seal ``count`` events of one staged row, from sequence ``first`` on."""
    try:
        events = row.events()
    except DamagedRowError as error:
        return [LostRun(first, count, count, row.packed, str(error))]
    begin = first - row.first
    place = Place(row.epoch, lane, first, row.stamp)
    return seal_events(state, place, events[begin : begin + count])
