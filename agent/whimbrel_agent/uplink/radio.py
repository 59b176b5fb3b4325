"""When the radio is used: always, or in sessions that are opened when something must go. Pure.

A radio that was woken stays awake for its tail, whatever it was woken for. So what can wait
gathers, a session takes along everything there is, and then the radio rests. When the next one is
opened is :func:`whimbrel_agent.energy.flushing.decide_flush`'s word, which the simulators compare
with other rules and with the least energy possible: from the deadlines of what waits, the profile's
radio, how often events come, and the power mode's budget of sessions. What is urgent opens one at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.energy.arrivals import ArrivalGap
from whimbrel_agent.energy.flushing import (
    FlushDecision,
    FlushInputs,
    SessionBudget,
    Waiting,
    decide_flush,
)

SETTLE_S: Final = 2.0
"""A session stays open so long after the last receipt: what the region has to say comes in, and
the next frame of a stream that is just being sealed still goes along."""

TRANSFER_S: Final = 0.1
"""Beside the radio's promotion, from the decision to the region: the transfer, and a busy device."""


@dataclass(frozen=True, slots=True)
class RadioPlan:
    """How the radio may be used.

    Attributes:
        sessions_per_h: sessions are opened at most so often for what can wait; None means that
            the radio is always on.
        stay_connected: hold the connection between sessions.
        tail_s: how long the radio stays awake after a use; by the profile, 0 where none is known.
        promotion_s: how long it takes to wake it.
    """

    sessions_per_h: float | None = None
    stay_connected: bool = True
    tail_s: float = 0.0
    promotion_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RadioInputs:
    """What the decision is made from, monotonic seconds.

    Attributes:
        now_s: now.
        plan: the one in force.
        open: a session is open.
        quiet_since_s: since when nothing waits and nothing is in flight; None while something is.
        begun_s: when the last session was opened; None: none was.
        last_use_s: when it had settled all, which is the radio's last use of note; None: none was.
        sealed: frames wait.
        urgent: urgent ones are among them.
        unsealed: what waits in the buffer to be sealed, by lane.
        arrival_gap_s: mean time between events lately; None where it is not known.
    """

    now_s: float
    plan: RadioPlan
    open: bool
    quiet_since_s: float | None
    begun_s: float | None
    last_use_s: float | None
    sealed: bool
    urgent: bool
    unsealed: tuple[Waiting, ...] = ()
    arrival_gap_s: float | None = None

    def flush(self) -> FlushDecision:
        """Say when everything that waits should be sent; frames have waited long enough."""
        now_s = self.now_s
        frames = (Waiting(now_s, 0.0, binding=self.urgent),) if self.sealed else ()
        return decide_flush(
            FlushInputs(
                now_s,
                (*frames, *self.unsealed),
                last_use_s=self.last_use_s,
                tail_s=self.plan.tail_s,
                lead_s=self.plan.promotion_s + TRANSFER_S if self.plan.tail_s else 0.0,
                arrival_gap_s=self.arrival_gap_s,
                sessions=SessionBudget(self.plan.sessions_per_h or 0, self.begun_s),
            )
        )


@dataclass(frozen=True, slots=True)
class RadioDecision:
    """Whether frames may go now.

    Attributes:
        open: they may.
        look_s: when to look again; None: when something is sealed.
        reason: why.
        take_along: whatever waits to be sealed is to be sealed now, since the radio is on anyway.
        begun: a session is opened with this.
    """

    open: bool
    look_s: float | None
    reason: str
    take_along: bool = False
    begun: bool = False

    def words(self, now_s: float) -> str:
        """Say it, with the time until the next look where the radio rests."""
        if self.open or self.look_s is None:
            return self.reason
        return f"{self.reason}, {max(0.0, self.look_s - now_s):.0f} s from now"


def decide_radio(inputs: RadioInputs) -> RadioDecision:
    """Say whether frames may go now."""
    if inputs.plan.sessions_per_h is None:
        return RadioDecision(open=True, look_s=None, reason="the radio is always on")
    if inputs.open and inputs.quiet_since_s is None:
        return RadioDecision(open=True, look_s=None, reason="session: frames are on their way")
    end_s = _end_s(inputs)
    goes_on = end_s is not None and inputs.now_s < end_s
    flush = inputs.flush()
    if flush.due(inputs.now_s):
        why = "something urgent waits" if inputs.urgent else flush.reason
        return RadioDecision(
            open=True,
            look_s=None,
            reason=f"session {'goes on' if goes_on else 'begun'}: {why}",
            take_along=True,
            begun=not goes_on,
        )
    if goes_on:
        looks = [one for one in (end_s, flush.flush_s) if one is not None]
        return RadioDecision(open=True, look_s=min(looks), reason="session: all is settled")
    return RadioDecision(
        open=False, look_s=flush.flush_s, reason=f"the radio rests: {flush.reason}"
    )


def _end_s(inputs: RadioInputs) -> float | None:
    """Return when the open session ends if nothing more comes; None without one."""
    quiet_s = inputs.quiet_since_s
    return quiet_s + SETTLE_S if inputs.open and quiet_s is not None else None


class Radio:
    """Opens and closes sessions. ``now_s`` is the monotonic clock.

    Args:
        plan: the one to begin with; None: always on.
        journal: where decisions are noted.
    """

    def __init__(
        self, plan: RadioPlan | None = None, journal: DecisionJournal | None = None
    ) -> None:
        self._plan = plan or RadioPlan()
        self._journal = journal or DecisionJournal()
        self._begun_s: float | None = None
        self._last_use_s: float | None = None
        self._open = False
        self._quiet_since_s: float | None = None
        self._sealed = True  # what an ended process left is not known yet
        self._urgent = False
        self._unsealed: tuple[Waiting, ...] = ()
        self._gap = ArrivalGap()
        self.sessions = 0

    @property
    def plan(self) -> RadioPlan:
        """The plan in force."""
        return self._plan

    @property
    def rests(self) -> bool:
        """Whether it is used in sessions: then what waits to be sealed should be told."""
        return self._plan.sessions_per_h is not None

    def use(self, plan: RadioPlan) -> None:
        """Go by another plan from now on."""
        if self._plan.sessions_per_h is None and plan.sessions_per_h is not None:
            self._open, self._quiet_since_s = True, None  # what is under way ends as a session
        if plan.sessions_per_h is None:
            self._unsealed = ()  # nobody tells what becomes of it from now on
        self._plan = plan

    def sealed(self, *, urgent: bool) -> None:
        """Note that frames wait; ``urgent`` ones open a session at once."""
        self._sealed = True
        self._urgent = self._urgent or urgent
        self._quiet_since_s = None

    def unsealed(self, waiting: tuple[Waiting, ...], now_s: float, *, came: bool) -> None:
        """Note what waits to be sealed; ``came``: since events did."""
        if came:
            self._gap.arrived(now_s)
        self._unsealed = waiting

    def settled(self, now_s: float) -> None:
        """Note that nothing waits and nothing is in flight."""
        self._sealed = self._urgent = False
        if self._quiet_since_s is None:
            self._quiet_since_s = self._last_use_s = now_s

    def inputs(self, now_s: float) -> RadioInputs:
        """Return what a decision would be made from now."""
        return RadioInputs(
            now_s,
            self._plan,
            self._open,
            self._quiet_since_s,
            self._begun_s,
            self._last_use_s,
            self._sealed,
            self._urgent,
            self._unsealed,
            self._gap.mean_s,
        )

    def decide(self, now_s: float) -> RadioDecision:
        """Say whether frames may go now, opening or closing a session where it is due."""
        inputs = self.inputs(now_s)
        decision = decide_radio(inputs)
        self._journal.note("radio", decision, inputs, now_s)
        if self._plan.sessions_per_h is None:
            return decision
        if decision.take_along:
            if decision.begun:
                self.sessions += 1
                self._begun_s = now_s
            self._quiet_since_s, self._unsealed = None, ()
        self._open = decision.open
        return decision
