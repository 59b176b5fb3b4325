"""One lane's frames between buffer and receipt."""

from __future__ import annotations

from whimbrel_agent.uplink.deliveryrate import Mark
from whimbrel_agent.uplink.lanequeue import READ_AHEAD_FRAMES, Flight, LaneQueue, key_of
from whimbrel_protocol.lanes import Order
from worlds.uplink import ALL_IN_ORDER, ModelBuffer, entry_for


def filled(order: Order, backlog: int, live: int = 0) -> tuple[LaneQueue, ModelBuffer]:
    buffer = ModelBuffer(dict.fromkeys(ALL_IN_ORDER, order))
    for _ in range(backlog):
        buffer.seal("normal")
    queue = LaneQueue("normal", order)
    queue.restart(buffer.newest()["normal"])
    for _ in range(live):
        buffer.seal("normal")
    read(queue, buffer)
    return queue, buffer


def read(queue: LaneQueue, buffer: ModelBuffer) -> None:
    while (asked := queue.next_load()) is not None:
        queue.loaded(asked, buffer.pending(asked.lane, asked.after_id, asked.limit))


def send(queue: LaneQueue) -> int:
    frame = queue.take()
    queue.flights[key_of(frame)] = Flight(
        frame,
        0.0,
        0,
        10.0,
        1,
        Mark(0, 0.0, busy=True, sent_s=0.0, size_bytes=1, region_ns=0, alone=True),
    )
    return frame.id


def test_an_in_order_lane_sends_oldest_first() -> None:
    queue, _ = filled(Order.IN_ORDER, 5, live=3)
    assert [send(queue) for _ in range(8)] == list(range(1, 9))
    assert queue.head() is None


def test_a_live_first_lane_sends_new_frames_and_every_fourth_of_the_backlog() -> None:
    queue, _ = filled(Order.LIVE_FIRST, 3, live=6)
    assert [send(queue) for _ in range(9)] == [4, 5, 6, 1, 7, 8, 9, 2, 3]


def test_frames_given_back_are_sent_first_and_in_order() -> None:
    queue, _ = filled(Order.IN_ORDER, 5)
    for _ in range(3):
        send(queue)
    queue.give_back(list(queue.flights.values()))
    assert [send(queue) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_a_reload_does_not_send_what_is_in_flight() -> None:
    queue, buffer = filled(Order.IN_ORDER, 5)
    send(queue)
    send(queue)
    queue.reload()
    read(queue, buffer)
    assert [send(queue) for _ in range(3)] == [3, 4, 5]


def test_what_was_asked_before_a_restart_is_not_taken() -> None:
    queue, buffer = filled(Order.IN_ORDER, 0)
    queue.sealed()
    asked = queue.next_load()
    assert asked is not None
    buffer.seal("normal")
    queue.restart(0)
    assert queue.loaded(asked, buffer.pending("normal", 0, 10)) == []
    assert queue.head() is None


def test_a_refill_goes_in_order_even_in_a_live_first_lane() -> None:
    queue, buffer = filled(Order.LIVE_FIRST, 2, live=4)
    for _ in range(6):
        send(queue)
    queue.refill()
    read(queue, buffer)
    assert [send(queue) for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_a_receipt_settles_frames_in_flight_and_waiting() -> None:
    queue, buffer = filled(Order.IN_ORDER, 2)
    send(queue)
    flying, waiting = buffer.frames.values()
    frame, flight = queue.settled(entry_for(flying))
    assert (frame, flight is not None) == (flying, True)
    assert queue.settled(entry_for(waiting)) == (waiting, None)
    assert queue.settled(entry_for(waiting)) == (None, None)
    assert queue.idle


def test_reading_ahead_is_bounded() -> None:
    queue, _ = filled(Order.IN_ORDER, 3 * READ_AHEAD_FRAMES)
    assert queue.ready_frames == READ_AHEAD_FRAMES
