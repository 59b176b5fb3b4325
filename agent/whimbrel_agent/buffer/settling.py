"""What a receipt settles: exact matches only, and the ledger takes the region's answer."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.frames import FrameRow, drop_pending, find_pending, retain
from whimbrel_agent.buffer.ledger import DELIVERED
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import SettleResult
from whimbrel_protocol.lanes import LANE_NUMBERS, GapReason
from whimbrel_protocol.messages import Receipt, ReceiptEntry, Status


@dataclass(slots=True)
class Tally:
    """Counts of one receipt while it is worked through."""

    freed: list[int] = field(default_factory=list)
    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    repeated: int = 0
    unmatched: int = 0


def settle(state: BufferState, receipt: Receipt) -> SettleResult:
    """Free or account every frame that a verified receipt names exactly."""
    tally = Tally()
    before = sum(totals.pending_bytes for totals in state.totals)

    def work() -> None:
        nonlocal tally
        tally = Tally()
        with state.change() as connection:
            for entry in receipt.entries:
                _settle_entry(state, connection, receipt, entry, tally)

    capacity.freeing(state, work)
    settled = before - sum(totals.pending_bytes for totals in state.totals)
    state.settled_meter.add(settled, state.now_s())
    state.counters["receipts_unmatched"] += tally.unmatched
    state.counters["receipts_repeated"] += tally.repeated
    state.counters["committed_unknown"] += tally.by_status[Status.COMMITTED_UNKNOWN]
    capacity.trim_to_share(state)
    return SettleResult(
        freed=tuple(tally.freed),
        committed=tally.by_status[Status.COMMITTED],
        gapped=tally.by_status[Status.GAPPED],
        unknown=tally.by_status[Status.COMMITTED_UNKNOWN],
        repeated=tally.repeated,
        unmatched=tally.unmatched,
    )


def _settle_entry(
    state: BufferState,
    connection: sqlite3.Connection,
    receipt: Receipt,
    entry: ReceiptEntry,
    tally: Tally,
) -> None:
    lane = LANE_NUMBERS[entry.lane]
    row = find_pending(state, connection, entry.epoch, lane, entry.first)
    if row is None or not (
        names_exactly(entry, row) and state.epochs[row.epoch].address == receipt.address
    ):
        stream = state.streams.get(entry.epoch, lane)
        last = entry.first + entry.span - 1
        if row is None and stream is not None and stream.settled.covers(entry.first, last):
            tally.repeated += 1
        else:
            tally.unmatched += 1
        return
    account(state, row, entry.status, entry.reason)
    state.streams.change(row.epoch, lane).settled.add(row.first, row.last)
    if entry.status is Status.GAPPED and row.events:
        drop_pending(state, connection, row)  # refused: a restored region would refuse it again
    else:
        retain(state, connection, row)
    tally.by_status[entry.status] += 1
    tally.freed.append(row.id)


def names_exactly(entry: ReceiptEntry, row: FrameRow) -> bool:
    """Whether an entry is about this frame's very bytes (its stream and first already match)."""
    return entry.span == row.span and entry.digest == row.digest


def account(state: BufferState, row: FrameRow, status: Status, reason: int) -> None:
    """Book a settled frame: the region's word decides what its events became."""
    if status is Status.GAPPED:
        said = int(GapReason(reason)) if reason in set(GapReason) else int(GapReason.REFUSED)
        if row.events:
            state.ledger.add(row.lane, said, row.events)
        elif reason:
            state.ledger.move(row.lane, row.span, out_of=row.reason, into=said)
    elif row.events:
        state.ledger.add(row.lane, DELIVERED, row.events)
    elif status is Status.COMMITTED:
        # the gap came too late: the region had committed the events before
        state.ledger.move(row.lane, row.span, out_of=row.reason, into=DELIVERED)
        state.counters["gaps_void"] += 1
