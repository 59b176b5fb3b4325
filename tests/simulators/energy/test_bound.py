"""The lower bound, against every schedule there is for loads small enough to try them all."""

from __future__ import annotations

import itertools
import random

import pytest

from whimbrel_agent.energy.model import RadioCost, gap_j
from whimbrel_sim.energy.bound import fewest_sends, least_j
from whimbrel_sim.energy.comparison import lte
from whimbrel_sim.energy.load import MIXED, Item, items_of
from whimbrel_sim.energy.policies import POLICIES, outcome_of

RADIO = RadioCost(promotion_j=0.31, tail_s=10, tail_w=1.0)


def small_load(source: random.Random) -> list[Item]:
    items = []
    for _ in range(source.randrange(1, 6)):
        arrival_s = source.uniform(0, 60)
        items.append(Item(arrival_s, arrival_s + source.choice([2.0, 8.0, 15.0, 40.0]), 0))
    return sorted(items)


def cost_j(times: tuple[float, ...], radio: RadioCost, *, concave: bool) -> float:
    whole_j = radio.tail_w * radio.tail_s + radio.promotion_j
    total = whole_j
    for a, b in itertools.pairwise(times):
        total += min(radio.tail_w * (b - a), whole_j) if concave else gap_j(radio, b - a)
    return total


def best_of_all(
    items: list[Item], moments: list[float], radio: RadioCost, *, concave: bool
) -> float:
    return min(
        cost_j(times, radio, concave=concave)
        for count in range(1, len(items) + 1)
        for times in itertools.combinations(moments, count)
        if all(any(i.arrival_s <= t <= i.deadline_s for t in times) for i in items)
    )


@pytest.mark.parametrize("seed", range(60))
def test_it_is_exactly_the_best_schedule_under_the_concave_cost(seed: int) -> None:
    items = small_load(random.Random(seed))
    moments = sorted({i.arrival_s for i in items} | {i.deadline_s for i in items})
    best = best_of_all(items, moments, RADIO, concave=True)
    assert least_j(items, RADIO) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_on_a_fine_grid_costs_less(seed: int) -> None:
    source = random.Random(1000 + seed)
    items = small_load(source)[:3]
    moments = sorted(
        {i.arrival_s for i in items}
        | {i.deadline_s for i in items}
        | {source.uniform(0, 100) for _ in range(25)}
    )
    assert least_j(items, RADIO) <= best_of_all(items, moments, RADIO, concave=False) + 1e-9


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_costs_less(policy: str) -> None:
    items = items_of(MIXED, seed=3, days=0.5)
    assert outcome_of(items, policy, lte()).joules >= least_j(items, lte())


@pytest.mark.parametrize("seed", range(20))
def test_the_fewest_sends_are_those_of_the_shortest_schedule(seed: int) -> None:
    items = small_load(random.Random(2000 + seed))
    moments = sorted({i.deadline_s for i in items})
    shortest = min(
        count
        for count in range(1, len(items) + 1)
        for times in itertools.combinations(moments, count)
        if all(any(i.arrival_s <= t <= i.deadline_s for t in times) for i in items)
    )
    assert fewest_sends(items) == shortest


def test_two_items_far_apart_need_two_sessions() -> None:
    items = [Item(0, 5, 0), Item(100, 105, 0)]
    assert least_j(items, RADIO) == pytest.approx(2 * 10.31)
    assert least_j(items[:1], RADIO) == pytest.approx(10.31)
    assert least_j([], RADIO) == 0
