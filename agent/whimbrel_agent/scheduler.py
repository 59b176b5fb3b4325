"""When sealing is looked after: a pure decision, with its reason.

This is the one place where power state, link cost and profiles will have their say; today it
knows deadlines and accepts only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_LOOK_GAP_NS: Final = 10_000_000
"""Between two looks while events stream in: each look is a trip to the database's thread, and at
the fastest intake measured no more than five frames' worth gathers in it."""


@dataclass(frozen=True, slots=True)
class SealInputs:
    """What the decision is made from, monotonic nanoseconds.

    Attributes:
        now_ns: now.
        looked_ns: when the buffer was looked after last.
        deadline_ns: when the oldest unsealed event has waited long enough; None without any.
        accepted: events were accepted since the last look.
    """

    now_ns: int
    looked_ns: int
    deadline_ns: int | None
    accepted: bool


@dataclass(frozen=True, slots=True)
class SealDecision:
    """When to look next (None: when something is accepted), and why."""

    look_ns: int | None
    reason: str


def decide(inputs: SealInputs) -> SealDecision:
    """Return when the buffer should be asked to seal what is due."""
    soonest_ns = inputs.looked_ns + MIN_LOOK_GAP_NS
    if inputs.accepted:
        return SealDecision(soonest_ns, "events were accepted: a batch may be full")
    if inputs.deadline_ns is not None:
        return SealDecision(
            max(soonest_ns, inputs.deadline_ns),
            "when the oldest unsealed event has waited long enough",
        )
    return SealDecision(None, "nothing waits to be sealed")
