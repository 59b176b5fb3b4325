"""When brokers are tried again."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.ports import LinkFailure
from whimbrel_agent.uplink.backoff import (
    DELAYS,
    PROVEN_AFTER_S,
    RETURN_SPREAD_S,
    URGENT_TRY_S,
    Backoff,
)


def test_all_brokers_may_be_tried_at_once_in_their_order() -> None:
    backoff = Backoff(3, random.Random(1))
    tried = []
    for _ in range(3):
        broker, ready_s = backoff.next_try()
        assert ready_s <= 100.0
        tried.append(broker)
        backoff.failed(broker, LinkFailure.REFUSED, lived_s=0, now_s=100.0)
    assert tried == [0, 1, 2]


@given(st.integers(0, 2**32), st.sampled_from(list(LinkFailure)), st.integers(1, 40))
def test_delays_stay_between_base_and_cap_and_grow_towards_it(
    seed: int, failure: LinkFailure, count: int
) -> None:
    backoff = Backoff(1, random.Random(seed))
    drawn = [backoff.failed(0, failure, lived_s=0, now_s=0) for _ in range(count)]
    limits = DELAYS[failure]
    assert all(limits.base_s <= delay <= limits.cap_s for delay in drawn)
    assert all(later <= max(limits.base_s, earlier) * 3 for earlier, later in pairwise(drawn))


def test_devices_do_not_retry_in_step() -> None:
    delays = {
        round(Backoff(1, random.Random(seed)).failed(0, LinkFailure.NO_LINK, lived_s=0, now_s=0), 3)
        for seed in range(50)
    }
    assert len(delays) > 40


def test_a_link_that_lived_starts_from_the_base_and_a_short_one_does_not() -> None:
    top_s = DELAYS[LinkFailure.REFUSED].base_s * 3
    backoff = Backoff(1, random.Random(3))
    for _ in range(30):
        backoff.failed(0, LinkFailure.REFUSED, lived_s=1.0, now_s=0)
    assert (
        max(backoff.failed(0, LinkFailure.REFUSED, lived_s=1.0, now_s=0) for _ in range(9)) > top_s
    )
    assert backoff.failed(0, LinkFailure.REFUSED, lived_s=PROVEN_AFTER_S, now_s=0) <= top_s


def test_the_network_s_return_frees_only_those_who_wait_for_it() -> None:
    backoff = Backoff(2, random.Random(1))
    backoff.failed(0, LinkFailure.UNAUTHORISED, lived_s=0, now_s=0)
    backoff.failed(1, LinkFailure.NO_LINK, lived_s=0, now_s=0)
    backoff.network_returned(0.0)
    broker, ready_s = backoff.next_try()
    assert (broker, ready_s <= RETURN_SPREAD_S) == (1, True)
    assert backoff.failure_of(0) is LinkFailure.UNAUTHORISED
    backoff.failed(1, LinkFailure.REFUSED, lived_s=0, now_s=1_000.0)
    assert backoff.next_try()[0] == 0


@pytest.mark.parametrize("tried_s", [0.0, 2.5, 10.0])
def test_with_urgent_events_tries_for_a_network_are_seconds_apart(tried_s: float) -> None:
    backoff = Backoff(1, random.Random(4))
    for _ in range(40):
        backoff.failed(0, LinkFailure.NO_LINK, lived_s=0, now_s=0)
    waits = [
        backoff.failed(0, LinkFailure.NO_LINK, lived_s=0, now_s=0, tried_s=tried_s, urgent=True)
        for _ in range(40)
    ]
    assert max(waits) + tried_s <= max(URGENT_TRY_S, tried_s + DELAYS[LinkFailure.NO_LINK].base_s)
    assert min(waits) >= DELAYS[LinkFailure.NO_LINK].base_s


@pytest.mark.parametrize("failure", set(LinkFailure) - {LinkFailure.NO_LINK})
def test_a_broker_that_is_there_is_knocked_at_no_more_often(failure: LinkFailure) -> None:
    calm, urgent = Backoff(1, random.Random(5)), Backoff(1, random.Random(5))
    for _ in range(20):
        wait_s = calm.failed(0, failure, lived_s=0, now_s=0)
        assert urgent.failed(0, failure, lived_s=0, now_s=0, urgent=True) == wait_s
    urgent.hurry(0.0)
    assert urgent.next_try() == calm.next_try()


def test_what_comes_while_a_network_is_waited_for_brings_the_try_forward() -> None:
    backoff = Backoff(1, random.Random(6))
    for now_s in range(100):
        backoff.failed(0, LinkFailure.NO_LINK, lived_s=0, now_s=float(now_s))
    assert backoff.next_try()[1] > 99.0 + URGENT_TRY_S
    backoff.hurry(100.0)
    backoff.hurry(101.0)  # another one does not put it off
    assert backoff.next_try()[1] == 99.0 + URGENT_TRY_S


def test_an_uplink_needs_a_broker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Backoff(0, random.Random(1))
