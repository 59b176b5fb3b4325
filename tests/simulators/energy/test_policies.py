"""Policies on loads whose sends can be counted by hand."""

from __future__ import annotations

import pytest

from whimbrel_agent.energy.model import RadioCost
from whimbrel_sim.energy.load import MIXED, Item, Kind, items_of
from whimbrel_sim.energy.policies import MARGIN_S, OURS, outcome_of

RADIO = RadioCost(promotion_s=0.2, promotion_j=0.5, tail_s=10, tail_w=1.0)
LEAD_S = RADIO.promotion_s + MARGIN_S


def test_send_at_once_pays_each_tail_as_far_as_it_goes() -> None:
    items = [Item(0, 300, 0), Item(4, 304, 0), Item(50, 350, 0)]
    outcome = outcome_of(items, "send at once", RADIO)
    assert (outcome.sends, outcome.missed) == (3, 0)
    assert outcome.joules == pytest.approx(0.5 + 4 + 10 + 0.5 + 10)


def test_ours_takes_along_what_waits() -> None:
    items = [Item(0, 300, 0), Item(60, 360, 0), Item(100, 105, 1)]
    outcome = outcome_of(items, OURS, RADIO)
    assert (outcome.sends, outcome.missed) == (1, 0)
    assert outcome.joules == pytest.approx(10.5)


def test_an_item_that_comes_too_late_is_counted() -> None:
    outcome = outcome_of([Item(0, 0.1, 0)], "send at once", RADIO)
    assert outcome.missed == 1


def test_a_timer_sends_at_ticks_and_alerts_before_them() -> None:
    items = [Item(10, 310, 0), Item(70, 75, 1), Item(80, 380, 0)]
    outcome = outcome_of(items, "timer 60 s", RADIO)
    # at 60, at 75 less the lead, at 120
    assert outcome.sends == 3
    assert outcome.joules == pytest.approx(3 * 10.5)


def test_loads_are_the_same_for_the_same_seed_and_of_the_stated_pace() -> None:
    items = items_of(MIXED, seed=5, days=10)
    assert items == items_of(MIXED, seed=5, days=10)
    assert items != items_of(MIXED, seed=6, days=10)
    assert items == sorted(items)
    counts = [sum(item.kind == place for item in items) for place in range(3)]
    assert counts[1:] == [28_800, 2_880]
    assert counts[0] == pytest.approx(960, rel=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_ours_misses_no_deadline(seed: int) -> None:
    kinds = (*MIXED, Kind("busy", 3, 1.0, steady=False), Kind("near", 20, 15, steady=False))
    assert outcome_of(items_of(kinds, seed=seed, days=0.5), OURS, RADIO).missed == 0
