"""When brokers are tried again."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.ports import LinkFailure
from whimbrel_agent.uplink.backoff import DELAYS, PROVEN_AFTER_S, RETURN_SPREAD_S, Backoff


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


def test_an_uplink_needs_a_broker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Backoff(0, random.Random(1))
