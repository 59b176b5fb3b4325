"""Which frame goes next, and what becomes of those in flight."""

from __future__ import annotations

from whimbrel_agent.uplink.counts import Counts
from whimbrel_agent.uplink.limits import LinkRules, wire_bytes
from whimbrel_agent.uplink.outbox import BATCH_BYTES, RECHECK_SENDS, Outbox
from whimbrel_agent.uplink.roundtrips import MAX_TIMEOUT_S
from whimbrel_agent.uplink.values import Now
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.messages import Credit, StreamState
from worlds.uplink import ALL_IN_ORDER, EPOCH, ModelBuffer, ModelRegion, entry_for

MAX_BYTES = 4_000_000
LIVE_FIRST = dict.fromkeys(ALL_IN_ORDER, Order.LIVE_FIRST)


class Bench:
    """An outbox over a model buffer, with plenty of credit."""

    def __init__(
        self,
        *,
        credit: int = 10 * MAX_BYTES,
        live_first: bool = False,
        rules: LinkRules | None = None,
    ) -> None:
        lanes = LIVE_FIRST if live_first else ALL_IN_ORDER
        self.buffer = ModelBuffer(lanes)
        self.region = ModelRegion()
        classes = (rules or LinkRules(),)
        self.window = Window(max_bytes=MAX_BYTES, max_frames=512, classes=classes)
        self.window._loss.size_bytes = self.window._rate.per_s = float(2 * MAX_BYTES)
        self.window.credits.credited(Credit(credit, 10**6), 0.0)
        self.counts = Counts()
        self.outbox = Outbox(lanes, self.window, self.counts)
        self.outbox.restart(self.buffer.newest())

    def seal(self, *lanes: str, size_bytes: int = 8_000) -> None:
        for lane in lanes:
            self.buffer.seal(lane, size_bytes=size_bytes)
        self.outbox.sealed(urgent="critical" in lanes)
        self.read()

    def read(self) -> bool:
        found = True
        while loads := self.outbox.loads():
            for asked in loads:
                frames = self.buffer.pending(asked.lane, asked.after_id, asked.limit)
                found = self.outbox.loaded(asked, frames) and found
        return found

    def send(self, now_s: float = 0.0) -> list[int]:
        sent = self.outbox.sends(Now(now_s, 0))
        return [] if sent is None else [sending.frame.id for sending in sent.sendings]


def test_a_batch_is_bounded_and_the_rest_follows_at_once() -> None:
    bench = Bench()
    bench.seal(*["normal"] * 100, size_bytes=BATCH_BYTES // 8)
    assert len(bench.send()) == 8
    assert bench.outbox.next_deadline(0.0) == 0.0
    assert len(bench.send()) == 8


def test_credit_smaller_than_a_frame_lets_one_go_at_a_time() -> None:
    bench = Bench(credit=100)
    bench.seal("normal", "normal")
    assert (bench.send(), bench.send()) == ([1], [])


def test_a_receipt_makes_room_and_is_counted_by_status() -> None:
    bench = Bench()
    bench.seal("normal")
    bench.send()
    frame = bench.buffer.frames[1]
    answered = bench.outbox.receipt(bench.region.receipt([entry_for(frame)]), Now(1.0, 0))
    assert (answered.matched, bench.outbox.in_flight_bytes) == (1, 0)
    assert answered.newest is not None
    assert bench.counts["frames_committed"] == 1
    again = bench.outbox.receipt(bench.region.receipt([entry_for(frame)]), Now(1.0, 0))
    assert (again.matched, again.newest) == (0, None)


def test_only_first_sends_measure_round_trips() -> None:
    bench = Bench()
    bench.seal("normal")
    bench.send(0.0)
    bench.outbox.give_back()
    bench.send(1.0)
    receipt = bench.region.receipt([entry_for(bench.buffer.frames[1])])
    assert bench.outbox.receipt(receipt, Now(2.0, 0)).newest is None


def test_a_want_is_followed_once_and_again_after_a_while() -> None:
    bench = Bench()
    bench.seal("normal", "normal", "normal")
    bench.send()
    hole = StreamState(EPOCH, "normal", ())
    assert bench.outbox.want(hole, 1.0) == "wants"
    assert bench.outbox.want(hole, 1.5) == "wants_repeated"
    bench.read()
    assert bench.send(2.0) == [1, 2, 3]
    assert bench.outbox.want(StreamState(EPOCH, "normal", ((1, 10),)), 2.1) == "wants"
    assert bench.outbox.want(hole, 100.0) == "wants"


def test_a_want_for_a_stream_that_sends_nothing_is_unasked() -> None:
    bench = Bench()
    bench.seal("normal")
    bench.send()
    assert bench.outbox.want(StreamState(EPOCH, "bulk", ()), 1.0) == "down_unasked"
    assert bench.outbox.want(StreamState(EPOCH + 1, "normal", ()), 1.0) == "down_unasked"


def test_a_hole_that_the_buffer_cannot_fill_is_reported() -> None:
    bench = Bench()
    bench.seal("normal", "normal")
    bench.send()
    del bench.buffer.frames[1]
    bench.outbox.want(StreamState(EPOCH, "normal", ()), 1.0)
    assert bench.read() is False


def test_a_frame_is_rechecked_every_so_many_sends() -> None:
    bench = Bench(live_first=True)
    bench.seal("normal")
    rechecked = []
    now_s = 0.0
    for _ in range(2 * RECHECK_SENDS + 1):
        assert bench.send(now_s) == [1]
        now_s += MAX_TIMEOUT_S
        overdue = bench.outbox.overdue(now_s, heard_s=now_s)
        assert overdue is not None
        assert not overdue.silent
        rechecked += [check.sends for check in overdue.rechecks]
    assert rechecked == [RECHECK_SENDS, 2 * RECHECK_SENDS]


def test_a_live_first_lane_resends_only_what_is_overdue() -> None:
    bench = Bench(live_first=True)
    bench.seal("normal")
    bench.send(0.0)
    bench.seal("normal")
    bench.send(5.0)
    overdue = bench.outbox.overdue(10.0, heard_s=0.0)
    assert overdue is not None
    assert not overdue.silent
    assert bench.send(10.0) == [1]


def test_silence_means_that_nothing_was_heard_since_the_send() -> None:
    bench = Bench()
    bench.seal("normal")
    bench.send(1.0)
    overdue = bench.outbox.overdue(60.0, heard_s=0.5)
    assert overdue is not None
    assert overdue.silent


def test_gone_frames_leave_the_account() -> None:
    bench = Bench()
    bench.seal("normal", "normal")
    bench.send()
    bench.outbox.gone([bench.buffer.frames[1]])
    assert (bench.outbox.in_flight_frames, bench.outbox.in_flight_bytes) == (1, 8_000)


SLOW_REPLAY = LinkRules(polite=False, replay_bytes_per_s=wire_bytes(8_000))
"""One frame of the backlog a second."""


def test_the_backlog_has_a_rate_of_its_own_and_new_frames_pass_it() -> None:
    bench = Bench(live_first=True, rules=SLOW_REPLAY)
    bench.seal(*["normal"] * 20)
    bench.outbox.restart(bench.buffer.newest())  # all of these are backlog now
    bench.seal(*["normal"] * 10)
    sent = bench.send(0.0)
    assert [number for number in sent if number > 20] == list(range(21, 31))
    assert len([number for number in sent if number <= 20]) == 1
    for second in range(1, 11):
        assert len(bench.send(float(second))) == 1
    assert bench.outbox.held is not None
    assert "replay limit of uplink" in bench.outbox.held.reason
    assert bench.outbox.held.until_s is not None
    assert 10.0 < bench.outbox.held.until_s <= 11.0


def test_an_urgent_backlog_does_not_wait_for_the_replay_limit_and_is_charged() -> None:
    bench = Bench(live_first=True, rules=SLOW_REPLAY)
    bench.seal(*["critical"] * 5, "normal")
    bench.outbox.restart(bench.buffer.newest())
    bench.read()
    assert len(bench.send(0.0)) == 5
    assert bench.send(4.0) == []
    assert len(bench.send(5.0)) == 1


def test_it_says_what_each_lane_waits_for() -> None:
    bench = Bench(live_first=True, rules=SLOW_REPLAY)
    bench.seal("bulk", "bulk", "high")
    bench.outbox.restart(bench.buffer.newest())
    bench.read()
    assert len(bench.send(0.0)) == 1
    told = {one.lane: one for one in bench.outbox.waiting(Now(0.5, 0))}
    assert (told["high"].why, told["high"].in_flight_frames) == ("frames wait for receipts", 1)
    assert (told["bulk"].why, told["bulk"].read_frames) == (
        "69.496 kbit/s, the replay limit of uplink", 2,
    )  # fmt: skip
    assert told["bulk"].until_s is not None
    assert (told["normal"].why, told["normal"].share) == ("", 4)
