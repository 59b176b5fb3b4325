"""How long a receipt is waited for."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.roundtrips import (
    FIRST_TIMEOUT_S,
    MAX_TIMEOUT_S,
    MIN_TIMEOUT_S,
    RoundTrips,
)


def measured(round_trip_s: float, count: int, trips: RoundTrips | None = None) -> RoundTrips:
    trips = trips or RoundTrips()
    for _ in range(count):
        trips.measured(round_trip_s)
    return trips


def test_the_timeout_follows_round_trips_within_bounds_and_doubles_with_sends() -> None:
    assert RoundTrips().timeout_s(1) == FIRST_TIMEOUT_S
    trips = measured(0.01, 30)
    assert trips.timeout_s(1) == MIN_TIMEOUT_S
    assert trips.timeout_s(3) == 4 * MIN_TIMEOUT_S
    assert trips.timeout_s(50) == MAX_TIMEOUT_S
    measured(8.0, 60, trips)
    assert 8.0 < trips.timeout_s(1) < 20.0


def test_the_first_round_trip_follows_rfc_6298() -> None:
    assert measured(4.0, 1).timeout_s(1) == pytest.approx(4.0 + 4 * 2.0)


def test_the_least_is_of_this_link_and_the_smoothed_one_goes_on() -> None:
    trips = measured(0.5, 3)
    trips.measured(2.0)
    assert (trips.least_s, trips.latest_s) == (0.5, 2.0)
    smooth_s = trips.smooth_s
    trips.linked()
    assert (trips.least_s, trips.latest_s, trips.smooth_s) == (None, None, smooth_s)
