"""When the radio is used: always, or in sessions that are opened when something must go. Pure.

A radio that was woken stays awake for its tail, whatever it was woken for. So what can wait
gathers (its lane's linger says how long, and sealing is what ends the wait), a session takes
along everything there is, and then the radio rests. What is urgent opens one at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SETTLE_S: Final = 2.0
"""A session stays open so long after the last receipt: what the region has to say comes in, and
the next frame of a stream that is just being sealed still goes along."""


@dataclass(frozen=True, slots=True)
class RadioPlan:
    """How the radio may be used.

    Attributes:
        sessions_per_h: sessions are opened at most so often for what can wait; None means that
            the radio is always on.
        stay_connected: hold the connection between sessions.
    """

    sessions_per_h: float | None = None
    stay_connected: bool = True


@dataclass(frozen=True, slots=True)
class RadioDecision:
    """Whether frames may go now, and when to look again (None: when something is sealed)."""

    open: bool
    look_s: float | None
    reason: str


class Radio:
    """Opens and closes sessions. ``now_s`` is the monotonic clock."""

    def __init__(self, plan: RadioPlan | None = None) -> None:
        self._plan = plan or RadioPlan()
        self._begun_s: float | None = None
        self._open = False
        self._quiet_since_s: float | None = None
        self._waiting = True  # what an ended process left is not known yet
        self._urgent = False
        self.sessions = 0

    @property
    def plan(self) -> RadioPlan:
        """The plan in force."""
        return self._plan

    def use(self, plan: RadioPlan) -> None:
        """Go by another plan from now on."""
        if self._plan.sessions_per_h is None and plan.sessions_per_h is not None:
            self._open, self._quiet_since_s = True, None  # what is under way ends as a session
        self._plan = plan

    def sealed(self, *, urgent: bool) -> None:
        """Note that frames wait; ``urgent`` ones open a session at once."""
        self._waiting = True
        self._urgent = self._urgent or urgent
        self._quiet_since_s = None

    def settled(self, now_s: float) -> None:
        """Note that nothing waits and nothing is in flight."""
        self._waiting = self._urgent = False
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s

    def decide(self, now_s: float) -> RadioDecision:
        """Say whether frames may go now, opening or closing a session where it is due."""
        per_h = self._plan.sessions_per_h
        if per_h is None:
            return RadioDecision(open=True, look_s=None, reason="the radio is always on")
        if self._open:
            return self._go_on(now_s)
        if not self._waiting:
            return RadioDecision(open=False, look_s=None, reason="the radio rests: nothing waits")
        if self._urgent:
            return self._begin(now_s, "something urgent waits")
        ready_s = now_s if self._begun_s is None else self._begun_s + 3600 / per_h
        if now_s >= ready_s:
            return self._begin(now_s, "what can wait has waited")
        return RadioDecision(
            open=False,
            look_s=ready_s,
            reason=f"the radio rests: the next of {per_h:g} sessions an hour is due in "
            f"{ready_s - now_s:.0f} s",
        )

    def _begin(self, now_s: float, why: str) -> RadioDecision:
        self._open, self._begun_s, self._quiet_since_s = True, now_s, None
        self.sessions += 1
        return RadioDecision(open=True, look_s=None, reason=f"session begun: {why}")

    def _go_on(self, now_s: float) -> RadioDecision:
        if self._quiet_since_s is None:
            return RadioDecision(open=True, look_s=None, reason="session: frames are on their way")
        end_s = self._quiet_since_s + SETTLE_S
        if now_s < end_s:
            return RadioDecision(open=True, look_s=end_s, reason="session: all is settled")
        self._open = False
        return RadioDecision(open=False, look_s=None, reason="the radio rests: nothing waits")
