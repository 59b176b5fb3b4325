from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.forward.breaker import (
    OPEN_AFTER_FAILURES,
    OPEN_AFTER_S,
    OPEN_BASE_S,
    Breaker,
    BreakerState,
)
from whimbrel_aggregator.forward.policy import RETRY_AFTER_CAP_S, RETRY_CAP_S

CHANCE = random.Random(1)


def failing(breaker: Breaker, times: int, *, now_s: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(CHANCE, "500", now_s=now_s)
    return breaker


def opened(now_s: float = 0.0) -> Breaker:
    return failing(Breaker(), OPEN_AFTER_FAILURES, now_s=now_s)


def half_open() -> Breaker:
    breaker = opened()
    probing, wait_s = breaker.entering(now_s=breaker.retry_s)
    assert wait_s == 0
    return probing


def test_a_closed_breaker_lets_everything_pass() -> None:
    assert Breaker().entering(now_s=5.0) == (Breaker(), 0.0)


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    almost = failing(Breaker(), OPEN_AFTER_FAILURES - 1)
    assert almost.state is BreakerState.CLOSED
    breaker = failing(almost, 1)
    assert breaker.state is BreakerState.OPEN
    assert breaker.reason == "500"
    assert breaker.opened == 1


def test_a_success_between_failures_keeps_it_closed() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker = failing(breaker, OPEN_AFTER_FAILURES - 1).settled()
    assert breaker == Breaker()


def test_failures_alone_for_long_open_it_however_few() -> None:
    first = failing(Breaker(), 1, now_s=10.0)
    assert failing(first, 1, now_s=10.0 + OPEN_AFTER_S - 1).state is BreakerState.CLOSED
    assert failing(first, 1, now_s=10.0 + OPEN_AFTER_S).state is BreakerState.OPEN


def test_one_call_that_hangs_opens_it() -> None:
    breaker = Breaker().failed(CHANCE, "did not return", now_s=0.0, hung=True)
    assert breaker.state is BreakerState.OPEN


def test_an_open_one_lets_nothing_pass_before_its_time_and_then_one_probe() -> None:
    breaker = opened(now_s=100.0)
    same, wait_s = breaker.entering(now_s=100.0)
    assert same == breaker
    assert wait_s == breaker.retry_s - 100.0
    probing, wait_s = breaker.entering(now_s=breaker.retry_s)
    assert (probing.state, wait_s) == (BreakerState.HALF_OPEN, 0.0)
    assert probing.entering(now_s=breaker.retry_s + 999) == (probing, None)


def test_a_probe_that_settles_closes_it() -> None:
    closed = half_open().settled()
    assert closed == Breaker(opened=1)


def test_a_probe_that_fails_opens_it_again_at_once_and_is_no_new_opening() -> None:
    again = failing(half_open(), 1, now_s=50.0)
    assert again.state is BreakerState.OPEN
    assert again.retry_s > 50.0
    assert again.opened == 1


def test_a_probe_that_was_cancelled_leaves_the_way_to_another() -> None:
    breaker = half_open().abandoned(now_s=7.0)
    assert breaker.entering(now_s=7.0)[1] == 0.0
    assert Breaker().abandoned(now_s=7.0) == Breaker()


def test_what_was_on_its_way_when_it_opened_does_not_lengthen_the_wait() -> None:
    breaker = opened()
    late = failing(breaker, 3, now_s=0.5)
    assert replace(late, failures=breaker.failures) == breaker


def test_a_sinks_wish_lengthens_the_wait_within_reason() -> None:
    wished = half_open().failed(CHANCE, "503", now_s=0.0, wish_s=600.0)
    assert wished.wait_s == 600.0
    absurd = half_open().failed(CHANCE, "503", now_s=0.0, wish_s=1e9)
    assert absurd.wait_s == RETRY_AFTER_CAP_S


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_waits_grow_within_their_bounds_and_differ_between_sinks(seed: int, times: int) -> None:
    chance = random.Random(seed)
    breaker = opened()
    for _ in range(times):
        before = breaker.wait_s
        probing, _ = breaker.entering(now_s=breaker.retry_s)
        breaker = probing.failed(chance, "500", now_s=breaker.retry_s)
        assert OPEN_BASE_S <= breaker.wait_s <= min(RETRY_CAP_S, 3 * max(OPEN_BASE_S, before))


def test_two_sinks_that_went_down_together_are_not_asked_together() -> None:
    waits = set()
    for seed in range(20):
        chance = random.Random(seed)
        breaker = Breaker()
        for _ in range(OPEN_AFTER_FAILURES):
            breaker = breaker.failed(chance, "500", now_s=0.0)
        waits.add(breaker.retry_s)
    assert len(waits) == 20
