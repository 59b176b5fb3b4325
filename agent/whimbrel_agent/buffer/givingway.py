"""What gives way when the buffer is full, in which order: a pure function of printable inputs.

Order: receipted frames kept for a restored region, oldest first; then, of lanes no more urgent
than the new events and as their policies allow it, least urgent lane first: never-published
numeric series are thinned, oldest first, step by step; then pending frames are dropped,
never-published ones first, oldest first. A full disk is no cap: dropping events would not give it a
byte back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from whimbrel_agent.buffer.values import Overflow
from whimbrel_protocol.lanes import LANES

__all__ = ["How", "OverflowDecision", "OverflowInputs", "WayStep", "decide_overflow"]


class How(Enum):
    """In which way something gives way."""

    RECEIPTED = auto()
    """Frames that the region has answered for are no longer kept."""
    THIN = auto()
    """Series of numbers lose detail."""
    DROP = auto()
    """Frames become gaps."""


@dataclass(frozen=True, slots=True)
class WayStep:
    """One thing to try; ``lane`` is whose, empty for all together."""

    how: How
    lane: str = ""


@dataclass(frozen=True, slots=True)
class OverflowInputs:
    """What the order is made from.

    Attributes:
        lane: of the new events.
        at_cap: the buffer's cap is reached, not the disk's end.
        policies: of every lane, most urgent first.
    """

    lane: str
    at_cap: bool
    policies: tuple[Overflow, ...]


@dataclass(frozen=True, slots=True)
class OverflowDecision:
    """What is tried, in this order, until there is room; when all is in vain, events are refused."""

    steps: tuple[WayStep, ...]
    reason: str


def decide_overflow(inputs: OverflowInputs) -> OverflowDecision:
    """Return what gives way for new events."""
    receipted = WayStep(How.RECEIPTED)
    if not inputs.at_cap:
        why = "the disk is full: only what the region has may go"
        return OverflowDecision((receipted,), why)
    policies = dict(zip(LANES, inputs.policies, strict=True))
    victims = list(reversed(LANES[LANES.index(inputs.lane) :]))
    thinned = [WayStep(How.THIN, one) for one in victims if policies[one] is Overflow.THIN]
    dropped = [WayStep(How.DROP, one) for one in victims if policies[one] is not Overflow.REFUSE]
    return OverflowDecision(
        (receipted, *thinned, *dropped), f"the buffer is full, for new events in {inputs.lane}"
    )
