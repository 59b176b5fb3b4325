from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.forward.policy import (
    MAX_REFUSED_IN_A_ROW,
    RETRY_AFTER_CAP_S,
    RETRY_BASE_S,
    RETRY_CAP_S,
    Backoff,
    Refusals,
)


@given(st.integers(), st.integers(1, 60))
def test_delays_stay_between_base_and_cap(seed: int, failures: int) -> None:
    chance = random.Random(seed)
    backoff = Backoff()
    for _ in range(failures):
        before_s = max(backoff.delay_s, RETRY_BASE_S)
        backoff = backoff.failed(chance)
        assert RETRY_BASE_S <= backoff.delay_s <= min(RETRY_CAP_S, 3 * before_s)
    assert backoff.attempts == failures


def test_delays_grow_towards_the_cap() -> None:
    chance = random.Random(1)
    backoff = Backoff()
    delays = []
    for _ in range(200):
        backoff = backoff.failed(chance)
        delays.append(backoff.delay_s)
    assert max(delays) > RETRY_CAP_S / 2
    assert len(set(delays)) > 100


def test_a_receivers_wish_lengthens_the_wait_up_to_an_hour() -> None:
    chance = random.Random(1)
    assert Backoff().failed(chance, wish_s=90).delay_s == 90
    assert Backoff().failed(chance, wish_s=0).delay_s >= RETRY_BASE_S
    assert Backoff().failed(chance, wish_s=1e9).delay_s == RETRY_AFTER_CAP_S


def test_a_long_wish_does_not_make_the_next_wait_longer_than_the_cap() -> None:
    chance = random.Random(1)
    waited = Backoff().failed(chance, wish_s=3_000)
    assert waited.failed(chance).delay_s <= RETRY_CAP_S


def test_refusals_stop_a_forwarder_only_when_nothing_is_accepted() -> None:
    refusals = Refusals()
    for _ in range(MAX_REFUSED_IN_A_ROW * 3):
        refusals = refusals.after(accepted=1, refused=1)
    assert refusals.stop_reason() is None
    refusals = refusals.after(accepted=0, refused=MAX_REFUSED_IN_A_ROW)
    assert "in a row" in (refusals.stop_reason() or "")
