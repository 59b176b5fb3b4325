"""Which frame goes next and when it goes again: lanes, flights, window. Pure.

The session decides whether anything may be sent at all; this decides what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.uplink.answered import STATUS_COUNTERS, Answered, Overdue
from whimbrel_agent.uplink.counts import Counts
from whimbrel_agent.uplink.holding import FREE, Held, HoldInputs, InFlight, Traffic, holds, sooner
from whimbrel_agent.uplink.lanequeue import Flight, FrameKey, LaneQueue, key_of
from whimbrel_agent.uplink.lanewaits import LaneWaiting, lane_waiting
from whimbrel_agent.uplink.turns import Turns
from whimbrel_agent.uplink.values import (
    FramesGone,
    FramesLoaded,
    LoadFrames,
    Now,
    ReceiptsSettled,
    RecheckFrame,
    SendFrames,
    Sending,
)
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.lanes import LANES, Order
from whimbrel_protocol.messages import Receipt, StreamState

RECHECK_SENDS: Final = 5
"""After so many sends without an answer the frame's own bytes are checked, and every so many
again: the region is silent about what it cannot read."""

SENDS_KEPT_WINDOWS: Final = 4
"""Counts of sends are kept for at most so many full windows; losing one only delays a recheck."""

BATCH_BYTES: Final = 512 * 1024
"""Frames handed out at once: their bytes are in memory together while they are published."""


@dataclass(slots=True)
class _Wanted:
    expected: int
    since_s: float
    filling: bool = False


@dataclass(frozen=True, slots=True)
class _Turn:
    queue: LaneQueue
    asked: HoldInputs
    new_only: bool


class Outbox:
    """The frames of every lane on their way to the region.

    Args:
        lanes: their orders.
        window: the bounds on what is in flight.
        counts: the uplink's counters.
        shares: the lanes' shares of a full link; None: the usual ones.
        journal: where decisions are noted.

    Attributes:
        in_flight_bytes: of frames that wait for a receipt.
        held: why the frame whose turn it is was not sent at the last look; None when all was.
    """

    def __init__(
        self,
        lanes: Mapping[str, Order],
        window: Window,
        counts: Counts,
        shares: Mapping[str, int] | None = None,
        journal: DecisionJournal | None = None,
    ) -> None:
        self.window = window
        self._journal = journal or DecisionJournal()
        self._queues = {lane: LaneQueue(lane, lanes[lane]) for lane in LANES}
        self._counts = counts
        self._turns = Turns(shares)
        self._sends: dict[FrameKey, int] = {}
        self._wanted: dict[tuple[int, str], _Wanted] = {}
        self.in_flight_bytes = 0
        self._more_now = False
        self._urgent = False
        self._stale = (0, 0)
        self.held: Held | None = None

    # ------------------------------------------------------------------ the buffer's side

    def restart(self, newest: Mapping[str, int]) -> None:
        """Begin anew from what the buffer has; nothing is in flight any more."""
        for lane, queue in self._queues.items():
            queue.restart(newest.get(lane, 0))
        self._wanted.clear()
        self.held = None
        self.in_flight_bytes = 0
        if len(self._sends) > SENDS_KEPT_WINDOWS * self.window.max_frames:
            self._sends.clear()  # frames evicted between links leave their count behind

    def sealed(self, *, urgent: bool) -> None:
        """Note that there may be new frames in any lane; ``urgent``: there are, critical ones."""
        self._urgent = urgent or self.urgent_waits
        for queue in self._queues.values():
            queue.sealed()

    @property
    def urgent_waits(self) -> bool:
        """Whether critical frames that were sealed in this process are not settled yet."""
        return self._urgent and not self._queues["critical"].empty

    def drained(self) -> None:
        """Look again into lanes that ran dry: a newer epoch's frames may be allowed now."""
        for queue in self._queues.values():
            if queue.idle:
                queue.sealed()

    def told(self, event: FramesLoaded | FramesGone | ReceiptsSettled) -> bool:
        """Take the buffer's word; False when the region wants what it no longer has."""
        match event:
            case FramesLoaded(asked, frames):
                return self.loaded(asked, frames)
            case FramesGone(frames):
                self.gone(frames)
            case ReceiptsSettled():
                self.drained()
        return True

    def loads(self) -> list[LoadFrames]:
        """Return what to read from the buffer now."""
        asked = (queue.next_load() for queue in self._queues.values())
        return [load for load in asked if load is not None]

    def loaded(self, asked: LoadFrames, frames: Sequence[FrameRef]) -> bool:
        """Take what was read; False when the region wants what the buffer no longer has."""
        queue = self._queues[asked.lane]
        taken = queue.loaded(asked, frames)
        found = True
        for (epoch, lane), wanted in self._wanted.items():
            if lane == asked.lane and wanted.filling and taken:
                wanted.filling = False
                oldest = queue.oldest_ready(epoch)
                found = found and (oldest is None or oldest <= wanted.expected)
        return found

    def gone(self, frames: Iterable[FrameRef]) -> None:
        """Drop frames that the buffer no longer has, and read their lanes again."""
        lanes = set()
        for frame in frames:
            queue = self._queues[frame.lane]
            if key_of(frame) in queue.flights:
                self.in_flight_bytes -= frame.size_bytes
            queue.gone(frame)
            self._sends.pop(key_of(frame), None)
            self._counts.add("frames_gone")
            lanes.add(frame.lane)
        for lane in lanes:
            self._queues[lane].reload()

    # ------------------------------------------------------------------ the region's side

    def receipt(self, receipt: Receipt, now: Now) -> Answered:
        """Take what a verified receipt of the known generation settles."""
        flying_bytes = self.in_flight_bytes
        matched = settled_bytes = 0
        newest: Flight | None = None
        for entry in receipt.entries:
            frame, flight = self._queues[entry.lane].settled(entry)
            if frame is None:
                continue
            matched += 1
            self._counts.add(STATUS_COUNTERS[entry.status])
            self._sends.pop(key_of(frame), None)
            if flight is not None:
                self.in_flight_bytes -= frame.size_bytes
                settled_bytes += frame.size_bytes
                if flight.sends == 1 and (newest is None or flight.sent_s >= newest.sent_s):
                    newest = flight
        if newest is not None:
            round_trip_s = now.mono_s - newest.sent_s
            region_s = (receipt.sent_ns - receipt.received_ns) / 1e9
            self.window.measured(newest.frame.size_bytes, round_trip_s, region_s, now.mono_s)
        self.window.settled(
            settled_bytes, None if newest is None else newest.mark, now.mono_s,
            received_ns=receipt.received_ns, frames=matched, flying_bytes=flying_bytes,
        )  # fmt: skip
        return Answered(matched, newest)

    def in_flight_of(self, epoch: int, lane: str) -> bool:
        """Say whether frames of a stream wait for a receipt."""
        return any(f.frame.epoch == epoch for f in self._queues[lane].flights.values())

    def want(self, state: StreamState, now_s: float) -> str:
        """Go back to what the region expects next of a stream, unless that is under way.

        Returns the name of the counter for what was done.
        """
        stream = (state.epoch, state.lane)
        expected = state.high_water + 1
        before = self._wanted.get(stream)
        if before is None and not self.in_flight_of(*stream):
            return "down_unasked"
        if (
            before is not None
            and expected <= before.expected
            and now_s - before.since_s < self.window.timeout_s(1)
        ):
            return "wants_repeated"
        self.window.went_back(self.in_flight_frames, now_s)
        self._wanted[stream] = _Wanted(expected, now_s, filling=True)
        self.in_flight_bytes -= self._bytes_in(state.lane)
        self._queues[state.lane].refill()
        return "wants"

    def give_back(self) -> None:
        """Take everything in flight as not arrived."""
        for queue in self._queues.values():
            queue.give_back(list(queue.flights.values()))
        self.in_flight_bytes = 0

    def overdue(self, now_s: float, *, heard_s: float) -> Overdue | None:
        """Give back frames whose receipt is overdue; None when there are none.

        Args:
            now_s: monotonic now.
            heard_s: when the region last said anything that we could verify.
        """
        rechecks: list[RecheckFrame] = []
        late = 0
        silent = True
        for queue in self._queues.values():
            overdue = [f for f in queue.flights.values() if f.deadline_s <= now_s]
            if not overdue:
                continue
            late += len(overdue)
            silent = silent and all(heard_s < flight.sent_s for flight in overdue)
            rechecks += [
                RecheckFrame(flight.frame, flight.sends)
                for flight in overdue
                if flight.sends % RECHECK_SENDS == 0
            ]
            if queue.order is Order.IN_ORDER:  # what follows was not taken either
                overdue = list(queue.flights.values())
            queue.give_back(overdue)
            self.in_flight_bytes -= sum(flight.frame.size_bytes for flight in overdue)
        if not late:
            return None
        self._counts.add("timeouts", late)
        self.window.timed_out(now_s, silent=silent)
        return Overdue(tuple(rechecks), silent)

    # ------------------------------------------------------------------ sending

    def sends(self, now: Now) -> SendFrames | None:
        """Return the frames to send now, in order, and count them as in flight."""
        sendings: list[Sending] = []
        size_bytes = 0
        self._more_now = False
        self._stale = self._stale_flights(now.mono_s)
        while (turn := self._next_turn(now)) is not None:
            frame = turn.queue.take(new_only=turn.new_only)
            sendings.append(self._fly(turn, frame, now))
            size_bytes += frame.size_bytes
            if size_bytes >= BATCH_BYTES:
                self._more_now = True
                break
        return SendFrames(tuple(sendings), self.window.to_reserve()) if sendings else None

    def _next_turn(self, now: Now) -> _Turn | None:
        """Return whose frame goes next; None, with the reason in ``held``, when none may."""
        waiting = [lane for lane, queue in self._queues.items() if queue.head() is not None]
        self.held = None
        for lane in self._turns.order(waiting):
            for new_only in (False, True):
                asked = self._asked(self._queues[lane], now, new_only=new_only)
                if asked is None or self._must_not_pass(asked.traffic):
                    break
                held = holds(asked)
                if self.held is None:
                    self._journal.note("send", held or FREE, asked, now.mono_s)
                if held is None:
                    return _Turn(self._queues[lane], asked, new_only)
                self.held = sooner(self.held, held)
                if not held.backlog:
                    break
        return None

    def _asked(self, queue: LaneQueue, now: Now, *, new_only: bool = False) -> HoldInputs | None:
        """Return what is asked about a lane's next frame; None when it has none."""
        head = queue.head(new_only=new_only)
        if head is None:
            return None
        replay = self._is_replay(queue, head)
        traffic = self.window.traffic(queue.lane, replay=replay)
        return self.window.inputs(head.size_bytes, traffic, self._in_flight(), now, replay=replay)

    def _must_not_pass(self, traffic: Traffic) -> bool:
        return self.held is not None and self.held.for_all and traffic is not Traffic.URGENT

    def _in_flight(self) -> InFlight:
        frames, (stale_frames, stale_bytes) = self.in_flight_frames, self._stale
        return InFlight(
            frames, self.in_flight_bytes, frames - stale_frames, self.in_flight_bytes - stale_bytes
        )

    def _stale_flights(self, now_s: float) -> tuple[int, int]:
        """Return frames and bytes that are in flight for longer than a first send would be."""
        before_s = now_s - self.window.timeout_s(1)
        sizes = [
            flight.frame.size_bytes
            for queue in self._queues.values()
            for flight in queue.flights.values()
            if flight.sent_s < before_s
        ]
        return len(sizes), sum(sizes)

    def _is_replay(self, queue: LaneQueue, frame: FrameRef) -> bool:
        return key_of(frame) in self._sends or frame.published or queue.is_backlog(frame)

    def _fly(self, turn: _Turn, frame: FrameRef, now: Now) -> Sending:
        queue, key, replay = turn.queue, key_of(frame), turn.asked.replay
        sends = self._sends.get(key, 0) + 1
        self._sends[key] = sends
        if self.window.credits.probing(now.mono_s):
            self._counts.add("probes")
        mark = self.window.sent(
            frame.size_bytes, turn.asked.traffic, turn.asked.flying, now,
            busy=self.ready_frames > 0, replay=replay,
        )  # fmt: skip
        deadline_s = now.mono_s + self.window.timeout_s(sends)
        queue.flights[key] = Flight(frame, now.mono_s, now.wall_ns, deadline_s, sends, mark)
        self.in_flight_bytes += frame.size_bytes
        self._turns.sent(queue.lane, frame.size_bytes)
        self._counts.add("frames_sent")
        self._counts.add("bytes_sent", frame.size_bytes)
        if sends > 1:
            self._counts.add("frames_resent")
        return Sending(frame, replay=replay)

    # ------------------------------------------------------------------ figures

    @property
    def in_flight_frames(self) -> int:
        """Frames that wait for a receipt."""
        return sum(len(queue.flights) for queue in self._queues.values())

    def doing(self, now_s: float) -> str:
        """Say in words what is being sent, or what it waits for."""
        frames = self.in_flight_frames
        probing = self.window.credits.probing(now_s)
        if probing and (self.ready_frames or frames):
            return f"probing: {probing}"
        waiting = f"next: {self.held.reason}" if self.held else ""
        if frames:
            return f"sending, {frames} frames wait for receipts{waiting and '; '}{waiting}"
        return waiting or "idle: everything sealed is settled"

    @property
    def ready_frames(self) -> int:
        """Frames read ahead and not sent."""
        return sum(queue.ready_frames for queue in self._queues.values())

    @property
    def idle(self) -> bool:
        """Whether nothing is known to be left to send or in flight."""
        return all(queue.idle for queue in self._queues.values())

    @property
    def empty(self) -> bool:
        """Whether the buffer is known to have nothing more, either."""
        return all(queue.empty for queue in self._queues.values())

    def next_deadline(self, now_s: float) -> float | None:
        """Return when to look again: a receipt is overdue, or a probe may go."""
        if self._more_now:
            return now_s
        deadlines = [
            flight.deadline_s
            for queue in self._queues.values()
            for flight in queue.flights.values()
        ]
        if self.held is not None and self.held.until_s is not None:
            deadlines.append(self.held.until_s)
        return min(deadlines, default=None)

    def waiting(self, now: Now) -> tuple[LaneWaiting, ...]:
        """Return what each lane's next frame waits for."""
        return tuple(
            lane_waiting(queue, self._asked(queue, now), self._turns.shares[lane])
            for lane, queue in self._queues.items()
        )

    def _bytes_in(self, lane: str) -> int:
        return sum(flight.frame.size_bytes for flight in self._queues[lane].flights.values())
