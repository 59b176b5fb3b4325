"""How long frames wait, told from their delays."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.queueing import BASE_HISTORY, BASE_PERIOD_S, FILTER_S, Queueing


def test_nothing_is_known_before_a_frame() -> None:
    assert (Queueing().now_s, Queueing().base_s) == (None, None)


def test_what_is_above_the_least_delay_is_queueing() -> None:
    queueing = Queueing()
    for number, delay_s in enumerate([0.1, 0.15, 0.3]):
        queueing.measured(1_000, delay_s, number * 1.0)
    assert queueing.base_s == 0.1
    assert queueing.now_s == pytest.approx(0.2)


def test_one_late_frame_among_others_is_no_queue() -> None:
    queueing = Queueing()
    for number, delay_s in enumerate([0.1, 0.11, 0.5, 0.5]):
        queueing.measured(1_000, delay_s, number * FILTER_S / 4)
    assert queueing.now_s == 0.0
    queueing.measured(1_000, 0.5, 10.0)
    assert queueing.now_s == pytest.approx(0.4)


def test_a_large_frame_that_takes_its_time_has_not_waited() -> None:
    queueing = Queueing()
    queueing.measured(500, 0.05, 0.0)
    queueing.measured(16_000, 0.12, 1.0)
    assert queueing.now_s == 0.0
    queueing.measured(16_000, 0.15, 2.0)
    assert queueing.now_s == pytest.approx(0.03)


def test_no_frame_is_quicker_than_a_smaller_one() -> None:
    queueing = Queueing()
    queueing.measured(500, 0.2, 0.0)
    queueing.measured(16_000, 0.12, 1.0)
    queueing.measured(500, 0.2, 2.0)
    assert queueing.now_s == pytest.approx(0.08)


def test_a_longer_route_is_known_as_such_after_the_history() -> None:
    queueing = Queueing()
    queueing.measured(1_000, 0.1, 0.0)
    now_s = 0.0
    for _ in range(BASE_HISTORY + 1):
        now_s += BASE_PERIOD_S
        queueing.measured(1_000, 0.4, now_s)
    assert queueing.now_s == 0.0
    assert queueing.base_s == 0.4


def test_another_link_begins_anew() -> None:
    queueing = Queueing()
    queueing.measured(1_000, 0.1, 0.0)
    queueing.linked()
    queueing.measured(1_000, 0.4, 1.0)
    assert queueing.now_s == 0.0
