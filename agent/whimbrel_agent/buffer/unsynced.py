"""What an unclean stop took of the lanes with a durability window: a gap stands for it.

Sequences are reserved durably before they are given out, so what may have been answered and is not on
the disk has an upper bound: everything reserved past the last sequence that is there. In such a
lane little is reserved ahead, so the bound is near. The gap is durable before the next numbering
begins, and makes itself superfluous: an opening that was cut short finds it or does it again.
"""

from __future__ import annotations

from typing import Final

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.epochs import insert_epoch
from whimbrel_agent.buffer.gaps import add_gap
from whimbrel_agent.buffer.ledger import ACCEPTED
from whimbrel_agent.buffer.numbers import NumbersState
from whimbrel_agent.buffer.recent import Recent
from whimbrel_agent.buffer.reissuing import seal_lane
from whimbrel_agent.buffer.sealer import Sealer
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState
from whimbrel_protocol.lanes import GapReason

_REASON: Final = GapReason.UNSYNCED


def bounds_of(before: NumbersState) -> dict[int, int]:
    """Return the lanes that may have lost something, and the last sequence that may be gone."""
    if before.clean or not before.epochs:
        return {}
    newest = max(before.epochs)
    return {
        lane: before.reserved[newest, lane]
        for lane in range(LANE_COUNT)
        if (newest, lane) in before.windowed and (newest, lane) in before.reserved
    }


def account_unsynced(state: BufferState) -> None:
    """Put a gap after what the last process has left, in lanes where it may have lost something."""
    bounds = bounds_of(state.numbers.before)
    if not bounds:
        return
    epoch = max(state.numbers.before.epochs)
    sealer = Sealer(state, Recent())
    for lane, through in bounds.items():
        seal_lane(state, sealer, lane)  # what is there comes before what is not
        stream = state.streams.get(epoch, lane)
        known = 0 if stream is None else stream.sealed_through
        if through > known:
            _put_gap(state, epoch, lane, known + 1, through)


def _put_gap(state: BufferState, epoch: int, lane: int, first: int, last: int) -> None:
    span = last - first + 1

    def work() -> None:
        with state.change() as connection:
            if epoch not in state.epochs:  # its row was damaged, and it had nothing else
                boot_id = state.numbers.before.boot_id or state.clock.boot_id
                insert_epoch(state, connection, epoch, boot_id)
            state.streams.change(epoch, lane).sealed_through = last
            add_gap(
                state,
                connection,
                epoch=epoch,
                lane=lane,
                first=first,
                span=span,
                reason=_REASON,
                wall_ns=state.clock.wall_ns(),
            )
            state.ledger.add(lane, ACCEPTED, span)
            state.ledger.add(lane, int(_REASON), span)

    capacity.freeing(state, work)
    state.lost_in_window[lane] = span
