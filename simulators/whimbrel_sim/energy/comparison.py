"""Policies over many seeds against the bound: the figures of the table and the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.energy.model import RadioCost
from whimbrel_agent.profiles.library import load_profile
from whimbrel_sim.energy.bound import fewest_sends, least_j
from whimbrel_sim.energy.load import MIXED, Kind, items_of
from whimbrel_sim.energy.policies import OURS, POLICIES, outcome_of

__all__ = ["CASES", "Case", "Comparison", "Row", "compare", "lte"]

BOUND: Final = "lower bound"


@dataclass(frozen=True, slots=True)
class Row:
    """One policy: joules and sends a day, times the bound, missed deadlines."""

    policy: str
    joules_per_day: float
    sends_per_day: float
    times_bound: float
    missed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One load: how much of it there was, and a row for each policy; the bound's is last.

    ``worst_times_bound`` is that of ours in the seed where it is worst. The bound's row has the
    fewest sends that keep all deadlines, which is a bound of its own: the cheapest schedule may
    send more often, inside a tail.
    """

    load: str
    seeds: int
    days: float
    items: int
    rows: tuple[Row, ...]
    worst_times_bound: float

    def row(self, policy: str) -> Row:
        """Return one policy's row."""
        return next(row for row in self.rows if row.policy == policy)

    @property
    def saved(self) -> float:
        """The share of send-at-once's energy that ours does not need."""
        return 1 - self.row(OURS).joules_per_day / self.row("send at once").joules_per_day

    @property
    def sends_times_bound(self) -> float:
        """How many times the fewest possible sends ours makes."""
        return self.row(OURS).sends_per_day / self.row(BOUND).sends_per_day


@dataclass(frozen=True, slots=True)
class Case:
    """A load by name."""

    name: str
    kinds: Sequence[Kind]


CASES: Final = (
    Case("mixed load", MIXED),
    Case("1 per 60 s, 300 s allowed", (Kind("items", 60, 300, steady=False),)),
    Case("1 per 20 s, 15 s allowed", (Kind("items", 20, 15, steady=False),)),
    Case("1 per 5 s, 15 s allowed", (Kind("items", 5, 15, steady=False),)),
    Case("1 per 5 s, 40 s allowed", (Kind("items", 5, 40, steady=False),)),
)
"""The first one is judged; the others show what the rule for near deadlines is for."""


def lte() -> RadioCost:
    """Return the radio of the shipped LTE hub."""
    return RadioCost.of(load_profile("battery-sensor-hub-lte").radio)


def compare(case: Case, radio: RadioCost, *, seeds: Iterable[int], days: float) -> Comparison:
    """Run every policy over every seed."""
    least, items, worst = 0.0, 0, 0.0
    joules, sends, missed = (dict.fromkeys(POLICIES, 0.0) for _ in range(3))
    count = fewest = 0
    for seed in seeds:
        load = items_of(case.kinds, seed=seed, days=days)
        bound_j = least_j(load, radio)
        for policy in POLICIES:
            outcome = outcome_of(load, policy, radio)
            joules[policy] += outcome.joules
            sends[policy] += outcome.sends
            missed[policy] += outcome.missed
            if policy == OURS:
                worst = max(worst, outcome.joules / bound_j)
        least += bound_j
        fewest += fewest_sends(load)
        items += len(load)
        count += 1
    whole_days = count * days
    rows = [
        Row(
            policy,
            joules[policy] / whole_days,
            sends[policy] / whole_days,
            joules[policy] / least,
            int(missed[policy]),
        )
        for policy in POLICIES
    ]
    rows.append(Row(BOUND, least / whole_days, fewest / whole_days, 1.0, 0))
    return Comparison(case.name, count, days, items, tuple(rows), worst)
