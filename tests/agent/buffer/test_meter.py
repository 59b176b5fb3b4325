from __future__ import annotations

import pytest

from whimbrel_agent.buffer.meter import SLOT_S, SLOTS, Meter

HOUR_S = SLOT_S * SLOTS


def test_nothing_yet_is_no_rate() -> None:
    assert Meter().per_s(1000.0) == 0.0


def test_a_steady_stream_has_its_rate_from_the_first_minute_on() -> None:
    meter = Meter()
    for second in range(4 * 3600):
        meter.add(7, float(second))
        if second > SLOT_S:
            assert meter.per_s(float(second)) == pytest.approx(7, rel=0.05)


def test_what_came_at_once_is_spread_over_a_minute_at_least() -> None:
    meter = Meter()
    meter.add(6000, 0.0)
    assert meter.per_s(1.0) == 100.0
    assert meter.per_s(600.0) == 10.0


def test_it_forgets_after_an_hour_and_stays_small() -> None:
    meter = Meter()
    for second in range(0, 10 * 3600, 10):
        meter.add(1, float(second))
    assert len(meter._slots) <= SLOTS
    assert meter.per_s(11 * 3600.0 + SLOT_S) == 0.0
