"""The ladder of a route: what it still forwards when it cannot keep up. Pure.

===========  =============================  =====================================================
rung         high                           normal and bulk
===========  =============================  =====================================================
full         all                            all
sampled      all                            one event in so many, by its sequence
summarised   all                            one summary a frame, type, source and zone
store-only   all                            nothing: they are in the journal, and only there
shed         nothing                        nothing
===========  =============================  =====================================================

``critical`` is forwarded in full on every rung. What decides is the age of the oldest frame that
is not handled yet: past a rung's age the route steps down to it at once; it steps up one rung at a
time, when the age is below half of the present rung's and it has stood there for a while. A route
has only the rungs that it is given, and none by default: leaving events out is never a default.

A route may push its rung down, so that devices thin their series of numbers before they pay for
sending them (:func:`asked_of_devices`); what they leave out then is not in the journal either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from whimbrel_protocol.messages import Detail

STEP_UP_SHARE: Final = 0.5
"""Back at this part of the age that led to a rung, the next one up is tried."""

DWELL_S: Final = 30.0
"""So long it stays at least: an empty backlog right after skipping says nothing of the sink yet."""


class Rung(StrEnum):
    """What is forwarded, from everything down."""

    FULL = "full"
    SAMPLED = "sampled"
    SUMMARISED = "summarised"
    STORE_ONLY = "store-only"
    SHED = "shed"


_THINNED: Final = frozenset({"normal", "bulk"})
_SHED: Final = frozenset({"high", "normal", "bulk"})


def thinned_lanes(rung: Rung) -> frozenset[str]:
    """Return the lanes of which a rung forwards less than everything."""
    if rung is Rung.FULL:
        return frozenset()
    return _SHED if rung is Rung.SHED else _THINNED


def silent_lanes(rung: Rung) -> frozenset[str]:
    """Return the lanes of which a rung forwards nothing."""
    return thinned_lanes(rung) if rung in (Rung.STORE_ONLY, Rung.SHED) else frozenset()


_ASKED: Final = {Rung.FULL: Detail.FULL, Rung.SAMPLED: Detail.SAMPLED}


def asked_of_devices(rung: Rung) -> Detail:
    """Return what a rung that is pushed down asks for; a device can do no more than summarise."""
    return _ASKED.get(rung, Detail.SUMMARISED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """From which age of the backlog (seconds) a route stands on which rung; None: on none of it.

    ``sample_one_in`` is how many events one stands for on the rung ``sampled``; ``push_down``
    says that devices are asked to thin as well.
    """

    sampled_after_s: float | None = None
    summarised_after_s: float | None = None
    store_only_after_s: float | None = None
    shed_after_s: float | None = None
    sample_one_in: int = 10
    push_down: bool = False

    @property
    def ages(self) -> tuple[tuple[Rung, float], ...]:
        """The rungs that there are, from the top, with their ages."""
        given = (
            (Rung.FULL, 0.0),
            (Rung.SAMPLED, self.sampled_after_s),
            (Rung.SUMMARISED, self.summarised_after_s),
            (Rung.STORE_ONLY, self.store_only_after_s),
            (Rung.SHED, self.shed_after_s),
        )
        return tuple((rung, age_s) for rung, age_s in given if age_s is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Where a route stands, since when (monotonic seconds), and why; ``Ladder()`` is the top."""

    rung: Rung = Rung.FULL
    since_s: float = 0.0
    reason: str = ""

    def moved(self, rungs: Rungs, age_s: float, *, now_s: float) -> Ladder:
        """Return where the route stands with a backlog of this age; itself when nothing changes."""
        ages = rungs.ages
        names = [rung for rung, _ in ages]
        at = names.index(self.rung)
        lowest = max(place for place, (_, since_s) in enumerate(ages) if age_s >= since_s)
        if lowest > at:
            rung, limit_s = ages[lowest]
            reason = f"the backlog is {age_s:.0f} s old, {rung.value} from {limit_s:g} s on"
            return Ladder(rung=rung, since_s=now_s, reason=reason)
        limit_s = ages[at][1]
        if at and age_s < STEP_UP_SHARE * limit_s and now_s - self.since_s >= DWELL_S:
            above = names[at - 1]
            reason = f"the backlog is {age_s:.0f} s old, {self.rung.value} ends below half its age"
            return Ladder(rung=above, since_s=now_s, reason=reason if at > 1 else "")
        return self
