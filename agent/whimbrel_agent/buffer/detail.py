"""Which lanes are thinned as they are sealed, since the region asks for less. Pure.

The region asks when what it forwards to cannot keep up and somebody there has chosen that devices
thin rather than send what would be left out anyway. A device does so in the lanes whose overflow
policy allows thinning, and nowhere else; what is sealed already is sent as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.thinning import Step
from whimbrel_agent.buffer.values import Overflow
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.messages import Detail

__all__ = ["DetailDecision", "DetailInputs", "decide_detail"]

_STEPS: Final = {Detail.SAMPLED: Step.HALVE, Detail.SUMMARISED: Step.SUMMARISE}
_WORDS: Final = {Step.HALVE: "every other value", Step.SUMMARISE: "one summary of each series"}


@dataclass(frozen=True, slots=True)
class DetailInputs:
    """What it is decided from: what the region asks for, each lane's policy, most urgent first."""

    asked: Detail
    policies: tuple[Overflow, ...]


@dataclass(frozen=True, slots=True)
class DetailDecision:
    """How far series of numbers are thinned in which lanes; ``step`` is None where nowhere."""

    asked: Detail = Detail.FULL
    step: Step | None = None
    lanes: tuple[str, ...] = ()
    reason: str = "the region takes everything"

    def step_of(self, lane: int) -> Step | None:
        """Return how far the series of a lane, by number, are thinned."""
        return self.step if LANES[lane] in self.lanes else None


def decide_detail(inputs: DetailInputs) -> DetailDecision:
    """Return what is thinned."""
    step = _STEPS.get(inputs.asked)
    if step is None:
        return DetailDecision()
    lanes = tuple(
        lane for lane, policy in zip(LANES, inputs.policies, strict=True) if policy is Overflow.THIN
    )
    asks = f"the region asks for {_WORDS[step]} in a frame"
    if not lanes:
        why = f"{asks}, and no lane's overflow is 'thin'"
        return DetailDecision(inputs.asked, reason=why)
    return DetailDecision(inputs.asked, step, lanes, asks)
