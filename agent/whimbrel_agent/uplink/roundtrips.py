"""How long to wait for a receipt: RFC 6298's time-out over round trips. Pure.

Round trips are of first sends only (Karn's rule): of a repetition nobody knows which one was answered.
"""

from __future__ import annotations

from typing import Final

FIRST_TIMEOUT_S: Final = 10.0
"""Before any round trip is known; on one connection only the broker loses frames, so that
waiting costs little and resending into a slow link costs much."""

MIN_TIMEOUT_S: Final = 2.0
"""The region commits in groups; less would resend what is being committed."""

MAX_TIMEOUT_S: Final = 120.0
"""The longest wait for a receipt, and between two probes without credit."""


class RoundTrips:
    """The smoothed round trip to a receipt and its spread.

    Attributes:
        smooth_s: None before the first one.
        latest_s: the latest on this link; None before the first one.
        least_s: the least on it.
    """

    def __init__(self) -> None:
        self.smooth_s: float | None = None
        self.latest_s: float | None = None
        self.least_s: float | None = None
        self._spread_s = 0.0

    def linked(self) -> None:
        """Forget the least one: a new link may be a longer way."""
        self.latest_s = self.least_s = None

    def measured(self, round_trip_s: float) -> None:
        """Take a round trip from a first send to its receipt (RFC 6298 section 2)."""
        if self.smooth_s is None:
            self.smooth_s, self._spread_s = round_trip_s, round_trip_s / 2
        else:
            self._spread_s += (abs(self.smooth_s - round_trip_s) - self._spread_s) / 4
            self.smooth_s += (round_trip_s - self.smooth_s) / 8
        self.latest_s = round_trip_s
        if self.least_s is None or round_trip_s < self.least_s:
            self.least_s = round_trip_s

    def timeout_s(self, sends: int) -> float:
        """Return how long to wait for the receipt of a frame that was sent so many times."""
        if self.smooth_s is None:
            first_s = FIRST_TIMEOUT_S
        else:
            first_s = max(MIN_TIMEOUT_S, self.smooth_s + 4 * self._spread_s)
        return float(min(MAX_TIMEOUT_S, first_s * 2 ** min(sends - 1, 10)))
