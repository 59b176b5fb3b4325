"""When different policies send: each sees an item when it arrives, and nothing before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.energy.flushing import TAIL_SHARE, Waiting
from whimbrel_agent.energy.model import RadioCost, gap_j
from whimbrel_agent.uplink.radio import TRANSFER_S, Radio, RadioPlan
from whimbrel_sim.energy.load import Item

__all__ = ["POLICIES", "Outcome", "outcome_of"]

MARGIN_S: Final = TRANSFER_S
"""Taken off each deadline beyond the promotion, as the agent does."""

OURS: Final = "Whimbrel"

Planner = Callable[[float, Sequence[Waiting], float | None], float]
"""From now, what waits and the radio's last use to the moment of the next send."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy did with a load.

    Attributes:
        items: how many there were.
        sends: how often the radio was used.
        joules: promotions and tails.
        missed: items that arrived after their deadline.
    """

    items: int
    sends: int
    joules: float
    missed: int


def _at_once(radio: RadioCost) -> Planner:
    del radio
    return lambda now_s, waiting, last_s: now_s  # noqa: ARG005


def _timer(every_s: float) -> Callable[[RadioCost], Planner]:
    """Send at every tick; what cannot wait for it goes at its deadline."""

    def planner(radio: RadioCost) -> Planner:
        lead_s = radio.promotion_s + MARGIN_S

        def plan(now_s: float, waiting: Sequence[Waiting], last_s: float | None) -> float:
            del last_s
            tick_s = (math.floor(now_s / every_s) + 1) * every_s
            return min(tick_s, max(now_s, min(one.deadline_s for one in waiting) - lead_s))

        return plan

    return planner


def _earliest_deadline(radio: RadioCost) -> Planner:
    lead_s = radio.promotion_s + MARGIN_S
    return lambda now_s, waiting, last_s: max(  # noqa: ARG005
        now_s, min(one.deadline_s for one in waiting) - lead_s
    )


def _tail_ender(radio: RadioCost) -> Planner:
    at_deadline = _earliest_deadline(radio)

    def plan(now_s: float, waiting: Sequence[Waiting], last_s: float | None) -> float:
        if last_s is not None and now_s <= last_s + TAIL_SHARE * radio.tail_s:
            return now_s
        return at_deadline(now_s, waiting, last_s)

    return plan


def _ours(radio: RadioCost) -> Planner:
    """Ask the agent's own machine, by a mode that has no budget of sessions."""
    machine = Radio(
        RadioPlan(math.inf, tail_s=radio.tail_s, promotion_s=radio.promotion_s),
    )
    machine.settled(-math.inf)
    sent_s: float | None = None

    def plan(now_s: float, waiting: Sequence[Waiting], last_s: float | None) -> float:
        nonlocal sent_s
        if last_s is not None and last_s != sent_s:
            assert machine.decide(last_s).take_along, "it was sent when the machine said so"
            machine.settled(last_s)
            sent_s = last_s
        machine.unsealed(tuple(waiting), now_s, came=True)
        flush_s = machine.inputs(now_s).flush().flush_s
        assert flush_s is not None, "something waits"
        return flush_s

    return plan


POLICIES: Final[Mapping[str, Callable[[RadioCost], Planner]]] = {
    "send at once": _at_once,
    "timer 60 s": _timer(60),
    "timer 300 s": _timer(300),
    "TailEnder": _tail_ender,
    "earliest deadline": _earliest_deadline,
    OURS: _ours,
}
"""By name, the shipped one last; timers are helped along by sending alerts at their deadline."""


def outcome_of(items: Sequence[Item], policy: str, radio: RadioCost) -> Outcome:
    """Let a policy send a load, and price what it did.

    Args:
        items: in order of arrival.
        policy: a name of POLICIES.
        radio: what its uses cost.
    """
    run = _Run(POLICIES[policy](radio), radio)
    for item in items:
        run.advance(item.arrival_s)
        run.arrive(item)
    run.advance(math.inf)
    return Outcome(len(items), run.sends, run.joules + radio.tail_w * radio.tail_s, run.missed)


class _Run:
    """One device with one policy."""

    def __init__(self, plan: Planner, radio: RadioCost) -> None:
        self._plan = plan
        self._radio = radio
        self._first: dict[int, Waiting] = {}  # by kind: all of one kind may wait equally long
        self._deadlines: list[float] = []
        self._next_s = math.inf
        self._last_s: float | None = None
        self.sends = 0
        self.joules = 0.0
        self.missed = 0

    def advance(self, until_s: float) -> None:
        """Send if the plan says so before the next arrival."""
        if self._next_s < until_s:
            self._send(self._next_s)

    def arrive(self, item: Item) -> None:
        """Take an item in and plan anew."""
        allowed_s = item.deadline_s - item.arrival_s
        self._first.setdefault(item.kind, Waiting(item.deadline_s, allowed_s))
        self._deadlines.append(item.deadline_s)
        waiting = list(self._first.values())
        self._next_s = self._plan(item.arrival_s, waiting, self._last_s)
        if self._next_s <= item.arrival_s:
            self._send(item.arrival_s)

    def _send(self, now_s: float) -> None:
        radio, last_s = self._radio, self._last_s
        awake = last_s is not None and now_s - last_s <= radio.tail_s
        # the very first send pays its promotion; its tail is in the gap to the next one
        self.joules += radio.promotion_j if last_s is None else gap_j(radio, now_s - last_s)
        arrived_s = now_s + (0.0 if awake else radio.promotion_s)
        self.missed += sum(deadline_s < arrived_s for deadline_s in self._deadlines)
        self.sends += 1
        self._last_s = now_s
        self._first.clear()
        self._deadlines.clear()
        self._next_s = math.inf
