"""Frames in time with a rate."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.pacer import Pacer


def test_the_first_frame_may_go_at_once() -> None:
    assert Pacer(0.01).ready_s() < 0


def test_the_next_one_waits_for_its_bytes() -> None:
    pacer = Pacer(0.0)
    pacer.sent(500, 1_000, 10.0)
    assert pacer.ready_s() == 10.5


def test_timers_that_are_late_do_not_lower_the_rate() -> None:
    pacer = Pacer(0.05)
    now_s = 100.0
    for _ in range(1_000):
        pacer.sent(100, 1_000, now_s)
        now_s = max(now_s, pacer.ready_s()) + 0.02  # each timer is late
    assert 1_000 * 100 / (now_s - 100.0) == pytest.approx(1_000, rel=0.01)


def test_an_idle_time_is_not_saved_up() -> None:
    pacer = Pacer(0.01)
    pacer.sent(1_000, 1_000, 0.0)
    sent = 0
    while pacer.ready_s() <= 100.0:
        pacer.sent(100, 1_000, 100.0)
        sent += 1
    assert sent == 1


def test_who_may_not_wait_is_charged() -> None:
    pacer = Pacer(0.0)
    for _ in range(5):
        pacer.sent(1_000, 1_000, 0.0)
    assert pacer.ready_s() == 5.0
