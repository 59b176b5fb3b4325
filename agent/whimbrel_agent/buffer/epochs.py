"""Beginning a numbering, and forgetting those of which nothing is left.

Both must work on a full disk: a buffer that cannot be opened takes no receipts that free space.
"""

from __future__ import annotations

import sqlite3

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.schema import row_sum
from whimbrel_agent.buffer.state import LANE_COUNT, BufferState, EpochRow
from whimbrel_protocol.epoch import RANDOM_BITS, make_epoch
from whimbrel_protocol.lanes import Order


def open_epoch(state: BufferState, ordinal: int) -> None:
    """Begin a new numbering; durable in the numbers file before the database knows it."""
    epoch = make_epoch(ordinal, state.random.getrandbits(RANDOM_BITS))
    boot_id = state.clock.boot_id

    def begin() -> None:
        with state.database.beside():
            state.numbers.start(epoch, boot_id)

    capacity.freeing(state, begin)

    def work() -> None:
        with state.change() as connection:
            insert_epoch(state, connection, epoch, boot_id)

    capacity.freeing(state, work)
    state.epoch = epoch
    state.next_sequence = [1] * LANE_COUNT
    state.reserved = [0] * LANE_COUNT


def insert_epoch(
    state: BufferState, connection: sqlite3.Connection, epoch: int, boot_id: bytes
) -> None:
    """Insert the row of a numbering at the present address."""
    orders = bytes(lane.order for lane in state.lanes)
    values = (epoch, str(state.address), boot_id, orders)
    connection.execute("INSERT INTO epochs VALUES (?, ?, ?, ?, ?)", (*values, row_sum(*values)))
    state.epochs[epoch] = EpochRow(epoch, state.address, boot_id, tuple(map(Order, orders)))


def forget_idle(state: BufferState) -> None:
    """Drop streams past the newest 256 that have nothing pending, and unused epochs."""
    staged = {slot.epoch for lane in state.staged for slot in lane.slots}

    def work() -> None:
        with state.change() as connection:
            state.streams.forget_oldest(connection, keep_epochs=staged | {state.epoch})
            used = staged | {state.epoch} | {stream.epoch for stream in state.streams}
            used |= {row[0] for row in connection.execute("SELECT DISTINCT epoch FROM receipted")}
            for epoch in state.epochs.keys() - used:
                connection.execute("DELETE FROM epochs WHERE epoch = ?", (epoch,))
                del state.epochs[epoch]

    capacity.freeing(state, work)
