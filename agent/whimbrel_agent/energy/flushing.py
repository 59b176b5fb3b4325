"""When the radio should be used next: a pure decision, with its reason.

Everything that waits goes out together, since the radio is on anyway; the question is only when.

* No tail (Ethernet, Wi-Fi by and large): at the earliest deadline; waiting fills batches.
* Deadlines far beyond the tail: at the earliest deadline. That is the fewest flushes that any
  rule can make, and needs no knowledge of the future (the classic result on stabbing intervals).
* Deadlines near the tail: TailEnder (Balasubramanian, Balasubramanian and Venkataramani, IMC 2009):
  at once while the last tail is young, within :data:`TAIL_SHARE` of it, else at the deadline.

What is near depends on how often items come (:func:`tail_pays`): where they come often, sending
each at once keeps the radio awake for ever.

A session budget spaces out what can bear it, never what is binding. It holds while the radio is
awake too: a use then opens no session, but begins the tail anew, and many of them never let it end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["FlushDecision", "FlushInputs", "SessionBudget", "Waiting", "decide_flush", "tail_pays"]

TAIL_SHARE: Final = 0.57
"""TailEnder's share of the tail in which sending at once is the better bet."""

FAR_TAILS: Final = 5.0
"""Where nobody knows how often items come: a longer allowed wait, in tails, counts as far."""

_LARGE: Final = 50.0
"""An exponent beyond which only the limit of the formula matters; e^709 overflows."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in one lane.

    Attributes:
        deadline_s: when its first item must be sent, monotonic seconds.
        allowed_s: how long that item may wait in all, from acceptance to deadline.
        binding: the deadline holds whatever the session budget says.
    """

    deadline_s: float
    allowed_s: float
    binding: bool = True


@dataclass(frozen=True, slots=True)
class SessionBudget:
    """How many radio sessions may be opened, evenly spaced.

    A dozen within the first minutes of an hour would leave the rest of it without any.

    Attributes:
        per_hour: so many in an hour; 0: no limit.
        opened_s: when the last one was opened; None: none was.
    """

    per_hour: float = 0
    opened_s: float | None = None

    def opens_s(self, now_s: float) -> float:
        """Return when the next session is within the budget, now at the earliest."""
        if self.per_hour <= 0 or self.opened_s is None:
            return now_s
        return max(now_s, self.opened_s + 3600.0 / self.per_hour)


@dataclass(frozen=True, slots=True)
class FlushInputs:
    """What the decision is made from, monotonic seconds.

    Attributes:
        now_s: now.
        waiting: one entry per lane that has something.
        last_use_s: when the radio was used last, by anything; None: never.
        tail_s: how long it stays awake after a use.
        lead_s: time from the decision to delivery: promotion, transfer. Deadlines are met by it.
        arrival_gap_s: mean time between items lately; None where it is not known.
        sessions: the budget of radio sessions.
    """

    now_s: float
    waiting: Sequence[Waiting]
    last_use_s: float | None = None
    tail_s: float = 0.0
    lead_s: float = 0.0
    arrival_gap_s: float | None = None
    sessions: SessionBudget = SessionBudget()


@dataclass(frozen=True, slots=True)
class FlushDecision:
    """When to send all that waits (None: nothing does), and why."""

    flush_s: float | None
    reason: str

    def due(self, now_s: float) -> bool:
        """Whether that is now."""
        return self.flush_s is not None and self.flush_s <= now_s


def decide_flush(inputs: FlushInputs) -> FlushDecision:
    """Return when everything that waits should be sent."""
    if not inputs.waiting:
        return FlushDecision(None, "nothing waits")
    first = min(inputs.waiting, key=lambda one: one.deadline_s)
    wanted = _wanted(first, inputs)
    opens_s = inputs.sessions.opens_s(inputs.now_s)
    assert wanted.flush_s is not None
    if wanted.flush_s >= opens_s:
        return wanted
    binding = [one.deadline_s for one in inputs.waiting if one.binding]
    bound_s = max(inputs.now_s, min(binding) - inputs.lead_s) if binding else opens_s
    if bound_s < opens_s:
        return FlushDecision(bound_s, "a binding deadline, beyond the session budget")
    per_hour = inputs.sessions.per_hour
    return FlushDecision(opens_s, f"the next of {per_hour:g} sessions an hour is not due yet")


def _wanted(first: Waiting, inputs: FlushInputs) -> FlushDecision:
    """Return the best moment without a look at the budget."""
    due_s = max(inputs.now_s, first.deadline_s - inputs.lead_s)
    if due_s <= inputs.now_s:
        return FlushDecision(inputs.now_s, "the earliest deadline is here")
    if inputs.tail_s <= 0:
        return FlushDecision(due_s, "the earliest deadline, since the radio has no tail")
    if not tail_pays(first.allowed_s, inputs.tail_s, inputs.arrival_gap_s):
        return FlushDecision(due_s, "the earliest deadline, which is far beyond the radio's tail")
    if inputs.last_use_s is not None:
        young_s = inputs.last_use_s + TAIL_SHARE * inputs.tail_s
        if inputs.now_s <= young_s:
            return FlushDecision(inputs.now_s, "the radio is awake from the last use anyway")
    return FlushDecision(due_s, "the earliest deadline, since the radio is asleep or soon will be")


def tail_pays(allowed_s: float, tail_s: float, arrival_gap_s: float | None) -> bool:
    """Whether sending at once in a young tail costs less, in the long run, than waiting.

    For items at random with mean gap ``m`` that may wait ``D``, and a radio whose use costs its tail
    ``T``: waiting pays ``T`` every ``m + D``. TailEnder with share ``a`` sends in a young tail with
    probability ``1 - e^-x``, ``x = aT/m``; between two sends that waited lie ``e^x`` items in the
    mean (Wald), so ``m e^x + D`` seconds, and they cost ``T`` and the time awake between the others,
    ``m e^x - aT - m``. (Derived for ``D`` beyond ``T``; the simulators compare it with runs.)

    Args:
        allowed_s: how long an item may wait.
        tail_s: the radio's tail, above 0.
        arrival_gap_s: mean time between items; None decides by :data:`FAR_TAILS`.
    """
    if arrival_gap_s is None:
        return allowed_s <= FAR_TAILS * tail_s
    gap_s = max(arrival_gap_s, 1e-9)
    young = TAIL_SHARE * tail_s
    if young / gap_s > _LARGE:
        return allowed_s + gap_s < tail_s
    between_s = gap_s * math.exp(young / gap_s)
    greedy = (tail_s + between_s - young - gap_s) / (between_s + allowed_s)
    return greedy < tail_s / (gap_s + allowed_s)
