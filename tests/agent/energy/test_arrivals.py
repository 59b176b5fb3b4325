"""The mean gap between arrivals."""

from __future__ import annotations

import random

import pytest

from whimbrel_agent.energy.arrivals import ArrivalGap


def test_one_arrival_makes_no_gap() -> None:
    gap = ArrivalGap()
    assert gap.mean_s is None
    gap.arrived(5.0)
    assert gap.mean_s is None


def test_steady_arrivals_have_their_own_gap() -> None:
    gap = ArrivalGap()
    for number in range(10):
        gap.arrived(30.0 * number)
    assert gap.mean_s == 30.0


@pytest.mark.parametrize("seed", range(5))
def test_it_follows_a_new_rate_within_a_few_hundred(seed: int) -> None:
    chance, gap, now_s = random.Random(seed), ArrivalGap(), 0.0
    for mean_s in (60.0, 5.0):
        for _ in range(400):
            now_s += chance.expovariate(1 / mean_s)
            gap.arrived(now_s)
        assert gap.mean_s is not None
        assert 0.6 * mean_s < gap.mean_s < 1.6 * mean_s
