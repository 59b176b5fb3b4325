"""The rate that receipts show."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.deliveryrate import PERIOD_S, DeliveryRate


def deliver(
    rate: DeliveryRate, begin_s: float, end_s: float, size: int, *, busy: bool = True
) -> None:
    """One frame alone on the link."""
    mark = rate.sent(size, begin_s, 0, busy=busy)
    rate.delivered(size, mark, end_s, 0)


def test_a_frame_over_its_round_trip_is_the_first_rate() -> None:
    rate = DeliveryRate()
    assert rate.per_s is None
    deliver(rate, 10.0, 10.5, 1_000)
    assert rate.per_s == 2_000


def test_receipts_that_come_all_at_once_after_a_pause_make_no_fast_link() -> None:
    rate = DeliveryRate()
    marks = [rate.sent(1_000, 0.01 * n, 1_000 * n, busy=True) for n in range(10)]
    for mark in marks:
        rate.delivered(1_000, mark, 5.0, 0)
    assert rate.per_s is not None
    assert rate.per_s <= 10_000 / 4.9


def test_the_region_s_stamps_count_where_both_clocks_went_on() -> None:
    rate = DeliveryRate()
    first = rate.sent(1_000, 0.0, 0, busy=True)
    rate.delivered(1_000, first, 1.0, 1_000_000_000)
    second = rate.sent(1_000, 1.0, 1_000, busy=True)
    third = rate.sent(1_000, 1.0, 2_000, busy=True)
    rate.delivered(1_000, second, 2.2, 1_800_000_000)
    rate.delivered(1_000, third, 2.2, 1_800_000_000)
    assert rate.per_s == pytest.approx(2_000 / 0.8)


@pytest.mark.parametrize("stamp_ns", [1, 10**18])
def test_a_clock_that_was_set_does_not(stamp_ns: int) -> None:
    rate = DeliveryRate()
    rate.delivered(1_000, rate.sent(1_000, 0.0, 0, busy=True), 1.0, 10**15)
    mark = rate.sent(1_000, 1.0, 1_000, busy=True)
    rate.delivered(1_000, mark, 2.0, stamp_ns)
    assert rate.per_s == 1_000


def test_having_little_to_send_says_nothing_against_the_rate() -> None:
    rate = DeliveryRate()
    deliver(rate, 0.0, 1.0, 10_000)
    for second in range(1, 60):
        deliver(rate, float(second), second + 0.9, 100, busy=False)
    assert rate.per_s == 10_000


def test_a_link_that_became_slow_is_known_after_two_periods_of_sending() -> None:
    rate = DeliveryRate()
    deliver(rate, 0.0, 1.0, 10_000)
    now_s = 1.0
    while now_s < 1.0 + 3 * PERIOD_S:
        deliver(rate, now_s, now_s + 1.0, 1_000)
        now_s += 1.0
    assert rate.per_s == 1_000


def test_a_lone_frame_s_way_is_not_held_against_the_rate() -> None:
    rate = DeliveryRate()
    marks = [rate.sent(10_000, 0.0, 10_000 * n, busy=True) for n in range(2)]
    for end_s, mark in zip((1.0, 2.0), marks, strict=True):
        rate.delivered(10_000, mark, end_s, 0)
    for n in range(20):
        mark = rate.sent(10_000, 3.0 + 1.2 * n, 0, busy=True)
        rate.delivered(10_000, mark, 4.2 + 1.2 * n, 0, 0.25)
    assert rate.per_s == 10_000


def test_of_a_link_that_became_slow_the_way_hides_half_at_most() -> None:
    rate = DeliveryRate()
    deliver(rate, 0.0, 1.0, 10_000)
    for n in range(8):
        mark = rate.sent(1_000, 1.0 + n, 0, busy=True)
        rate.delivered(1_000, mark, 2.0 + n, 0, 60.0)
    assert rate.per_s == 2_000


def test_the_way_of_a_lone_frame_makes_no_fast_link() -> None:
    rate = DeliveryRate()
    for n in range(8):
        mark = rate.sent(1_000, float(n), 0, busy=True)
        rate.delivered(1_000, mark, n + 1.0, 0, 0.25)
    assert rate.per_s == 1_000


def test_another_link_begins_anew() -> None:
    rate = DeliveryRate()
    deliver(rate, 0.0, 1.0, 10_000)
    rate.linked()
    assert rate.per_s is None
