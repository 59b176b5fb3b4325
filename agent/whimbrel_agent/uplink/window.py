"""What may be sent now: every bound on what is in flight, in one place. Pure.

Holds the state behind the bounds (:mod:`.holding` has them, and their reasons) and learns from what
happens to frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.uplink.background import BackgroundWindow
from whimbrel_agent.uplink.budget import Budget, Spent
from whimbrel_agent.uplink.deliveryrate import DeliveryRate, Mark
from whimbrel_agent.uplink.holding import Held, HoldInputs, InFlight, Limits, Traffic, holds
from whimbrel_agent.uplink.limits import LinkInputs, LinkRules, decide_class, wire_bytes
from whimbrel_agent.uplink.losswindow import FIRST_WINDOW_BYTES, LossWindow
from whimbrel_agent.uplink.pacer import Pacer
from whimbrel_agent.uplink.probing import Credits
from whimbrel_agent.uplink.queueing import Queueing
from whimbrel_agent.uplink.roundtrips import RoundTrips
from whimbrel_agent.uplink.values import Now
from whimbrel_protocol.messages import Detail

SECOND_S: Final = 1.0
"""Of the measured rate may be in flight: the design's bound for an urgent frame."""

LONG_WAY: Final = 1.5
"""Least round trips that may be in flight where they are longer than that second: with one and no
more the rate could be measured, and never found to be greater."""

MIN_WINDOW_FRAMES: Final = 4
"""Even where frames overtake each other all the time: one that is missed costs three more."""

CAP_TOLERANCE_S: Final = 0.05
PACE_TOLERANCE_S: Final = 0.01
"""What goes at once on a fast link: a wake-up per frame would cost more than the burst."""

_FRAMES_GROWTH: Final = 0.25
"""Frames more in flight for each one that was settled: a quarter more in a round trip."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """The window's state for status, sizes in bytes and times in seconds."""

    window_bytes: int
    credit_bytes: int | None
    round_trip_s: float | None
    timeout_s: float
    probing: str
    background_bytes: int = 0
    base_delay_s: float | None = None
    queueing_s: float | None = None
    rate_bytes_per_s: float | None = None
    link_class: str = ""
    cap_bytes_per_s: float | None = None
    cap_reason: str = ""
    budget_left_bytes: int | None = None
    replay_bytes_per_s: float | None = None
    asked: Detail = Detail.FULL


class Charged:
    """What everything that uses a link is charged to, by however many uplinks."""

    def __init__(self, classes: Sequence[LinkRules], spent: Mapping[str, Spent]) -> None:
        self.cap = Pacer(CAP_TOLERANCE_S)
        self.replay = Pacer(CAP_TOLERANCE_S)
        self.budgets = {
            one.name: Budget(one.name, one.monthly_bytes, spent.get(one.name))
            for one in classes
            if one.monthly_bytes is not None
        }


class Window:
    """Bounds on what is in flight. Pure: seconds are of the monotonic clock.

    Args:
        max_bytes: in flight at most, whatever the link bears.
        max_frames: the same in frames.
        classes: rules by class of link, the last one for any.
        spent: what is durable about their budgets.
        charged: what another uplink on the same links is charged to; None makes it.
        journal: where decisions are noted.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_frames: int,
        classes: Sequence[LinkRules] = (LinkRules(),),
        spent: Mapping[str, Spent] | None = None,
        charged: Charged | None = None,
        journal: DecisionJournal | None = None,
    ) -> None:
        self.max_frames = max_frames
        self._journal = DecisionJournal() if journal is None else journal
        self._frames = float(max_frames)
        self._loss = LossWindow(max_bytes)
        self._background = BackgroundWindow(max_bytes)
        self._trips = RoundTrips()
        self._queueing = Queueing()
        self._rate = DeliveryRate()
        self._pace = Pacer(PACE_TOLERANCE_S)
        self._classes = tuple(classes)
        self._rules = self._classes[-1]
        self.charged = charged or Charged(self._classes, spent or {})
        self.credits = Credits()

    # ------------------------------------------------------------------ what may go

    def traffic(self, lane: str, *, replay: bool) -> Traffic:
        """Return what a frame counts as."""
        if lane in ("critical", "high"):
            return Traffic.URGENT
        if self._rules.polite and (replay or lane == "bulk"):
            return Traffic.BACKGROUND
        return Traffic.ORDINARY

    def holds(
        self, size_bytes: int, traffic: Traffic, flying: InFlight, now: Now, *, replay: bool = False
    ) -> Held | None:
        """Say why a frame may not go now; None when it may."""
        return holds(self.inputs(size_bytes, traffic, flying, now, replay=replay))

    def inputs(
        self, size_bytes: int, traffic: Traffic, flying: InFlight, now: Now, *, replay: bool
    ) -> HoldInputs:
        """Return what the decision about a frame is made from.

        Args:
            size_bytes: of the frame.
            traffic: what it counts as.
            flying: what is in flight.
            now: the moment.
            replay: it travels as such.
        """
        return HoldInputs(
            now_s=now.mono_s,
            size_bytes=size_bytes,
            traffic=traffic,
            replay=replay,
            flying=flying,
            probing=self.credits.probing(now.mono_s),
            probe_at_s=self.credits.probe_at_s,
            credit_bytes=self.credits.left(now.mono_s),
            frames=self.frames,
            second_bytes=self.second_bytes,
            max_bytes=self._loss.max_bytes,
            loss_bytes=self._loss.size_bytes,
            background_bytes=self._background.size_bytes,
            pace_ready_s=self._pace.ready_s(),
            limits=self.limits(now),
        )

    def limits(self, now: Now) -> Limits:
        """Return what the link's rules say now."""
        rules, budget = self._rules, self._budget(now)
        cap = rules.cap_at(now.wall_ns)
        return Limits(
            name=rules.name,
            cap_bytes_per_s=cap.bytes_per_s,
            cap_reason=cap.reason,
            cap_ready_s=self.charged.cap.ready_s(),
            replay_bytes_per_s=rules.replay_bytes_per_s,
            replay_ready_s=self.charged.replay.ready_s(),
            budget_left_bytes=None if budget is None else budget.left_bytes,
        )

    def _budget(self, now: Now) -> Budget | None:
        budget = self.charged.budgets.get(self._rules.name)
        if budget is not None:
            budget.at(self._rules.period_at(now.wall_ns))
        return budget

    @property
    def second_bytes(self) -> float:
        """What may be in flight by the measured rate."""
        if self._rate.per_s is None:
            return float(FIRST_WINDOW_BYTES)
        return self._rate.per_s * max(SECOND_S, LONG_WAY * (self._trips.least_s or 0.0))

    @property
    def frames(self) -> int:
        """How many frames may be in flight now."""
        return int(self._frames)

    def timeout_s(self, sends: int) -> float:
        """Return how long to wait for the receipt of a frame that was sent so many times."""
        return self._trips.timeout_s(sends)

    # ------------------------------------------------------------------ what happened

    def linked(self, broker: int = 0, interface: str = "", now_s: float = 0.0) -> None:
        """Begin on a new link, which may be another way, and where a probe may go at once."""
        inputs = LinkInputs(tuple(one.fits for one in self._classes), broker, interface)
        fits = decide_class(inputs)
        self._journal.note("link class", fits, inputs, now_s, said=fits)
        self._rules = self._classes[fits.index]
        for part in (self._loss, self._background, self._trips, self._queueing, self._rate):
            part.linked()
        self._pace = Pacer(PACE_TOLERANCE_S)
        self.credits.linked()

    def sent(
        self, size_bytes: int, traffic: Traffic, flying: InFlight, now: Now, *, busy: bool,
        replay: bool = False,
    ) -> Mark:  # fmt: skip
        """Charge a frame that goes out now; return the mark that it is measured by.

        Args:
            size_bytes: of the frame.
            traffic: what it counts as.
            flying: what is in flight before it.
            now: the moment.
            busy: more waits to be sent.
            replay: it travels as such.
        """
        now_s = now.mono_s
        if self.credits.probing(now_s):
            self.credits.probed(now_s)
        cap = self._rules.cap_at(now.wall_ns)
        if cap.bytes_per_s is not None:
            self.charged.cap.sent(wire_bytes(size_bytes), cap.bytes_per_s, now_s)
        if replay and self._rules.replay_bytes_per_s is not None:
            self.charged.replay.sent(wire_bytes(size_bytes), self._rules.replay_bytes_per_s, now_s)
        if traffic is Traffic.BACKGROUND and self._trips.latest_s:
            pace = self._background.pace_per_s(self._trips.latest_s, self._rate.per_s or 1.0, now_s)
            self._pace.sent(size_bytes, pace, now_s)
        budget = self._budget(now)
        if budget is not None:
            budget.sent(wire_bytes(size_bytes))
        return self._rate.sent(size_bytes, now_s, flying.fresh_bytes, busy=busy)

    def to_reserve(self) -> Spent | None:
        """Return what must be durable of the budget before anything charged is sent."""
        budget = self.charged.budgets.get(self._rules.name)
        return None if budget is None else budget.to_reserve()

    def budgets(self) -> list[Spent]:
        """Return the exact counts of all budgets, for an orderly stop."""
        return [budget.exact() for budget in self.charged.budgets.values()]

    def measured(self, size_bytes: int, round_trip_s: float, region_s: float, now_s: float) -> None:
        """Take a round trip of a first send.

        Args:
            size_bytes: of the frame.
            round_trip_s: from its sending to its receipt.
            region_s: how long of that the region held it, by its own clock.
            now_s: monotonic now.
        """
        self._trips.measured(round_trip_s)
        held_s = min(max(0.0, region_s), round_trip_s)
        rate_per_s = self._rate.per_s or 0.0
        self._queueing.measured(size_bytes, round_trip_s - held_s, now_s, rate_per_s)

    def settled(
        self, size_bytes: int, mark: Mark | None, now_s: float, *, received_ns: int,
        frames: int, flying_bytes: int,
    ) -> None:  # fmt: skip
        """Note receipted bytes and frames; a window grows when it held us back.

        Args:
            size_bytes: what the receipt named of what was in flight.
            mark: of the newest first send among it.
            now_s: monotonic now.
            received_ns: when the newest came in, by the region's clock.
            frames: how many it named.
            flying_bytes: what was in flight before it.
        """
        self._frames = min(float(self.max_frames), self._frames + frames * _FRAMES_GROWTH)
        way_s = self._queueing.base_s or 0.0
        self._rate.delivered(size_bytes, mark, now_s, received_ns, way_s)
        if mark is None:
            return
        bound = min(self._loss.size_bytes, self.credits.left(now_s))
        self._loss.settled(size_bytes, full=flying_bytes * 2 >= bound)
        queueing_s = self._queueing.now_s
        if queueing_s is not None:
            full = flying_bytes * 2 >= self._background.size_bytes
            self._background.settled(
                size_bytes, mark.size_bytes, sent_s=mark.sent_s, now_s=now_s,
                queueing_s=queueing_s, rate_per_s=self._rate.per_s or 1.0, full=full,
            )  # fmt: skip

    def timed_out(self, now_s: float, *, silent: bool) -> None:
        """Note a missing receipt: half the window, or one frame when nothing at all came back."""
        if self._loss.lost(now_s, self._trips.smooth_s or 0.0, silent=silent):
            self._background.lost(silent=silent)

    def went_back(self, in_flight: int, now_s: float) -> None:
        """Note that a frame was missed, and all behind it goes again: half as many at a time.

        Where frames are lost or overtaken again and again, what goes again is then a few frames
        and not a whole window for each that got through.
        """
        self._frames = max(float(MIN_WINDOW_FRAMES), min(self._frames, float(in_flight)) / 2)
        self.timed_out(now_s, silent=False)

    def figures(self, now: Now) -> WindowFigures:
        """Return the state for status."""
        limits = self.limits(now)
        return WindowFigures(
            window_bytes=int(self._loss.size_bytes),
            credit_bytes=None if self.credits.credit is None else self.credits.left(now.mono_s),
            round_trip_s=self._trips.smooth_s,
            timeout_s=self.timeout_s(1),
            probing=self.credits.probing(now.mono_s),
            background_bytes=int(self._background.size_bytes),
            base_delay_s=self._queueing.base_s,
            queueing_s=self._queueing.now_s,
            rate_bytes_per_s=self._rate.per_s,
            link_class=limits.name,
            cap_bytes_per_s=limits.cap_bytes_per_s,
            cap_reason=limits.cap_reason,
            budget_left_bytes=limits.budget_left_bytes,
            replay_bytes_per_s=limits.replay_bytes_per_s,
            asked=self.credits.detail(now.mono_s),
        )
