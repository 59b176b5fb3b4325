"""How much may be in flight, and how long to wait for a receipt.

Three bounds, the least of which holds:

* the region's credit, with its lifetime; without credit one frame at a time probes, at
  growing intervals;
* the window, which follows the delay that we cause ourselves (LEDBAT, RFC 6817 section 2.4,
  without its slow decrease): it grows while receipts come within ``TARGET_DELAY_S`` of the
  least round trip, and shrinks when they come later, so that an urgent frame never waits behind
  more than about a second of our own bytes;
* the configured most bytes and frames.

The time-out is RFC 6298's, from round trips to receipts (first sends only: Karn's rule).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.messages import Credit

TARGET_DELAY_S: Final = 1.0
"""Queueing that we may cause: one second of the link, the design's bound for an urgent frame."""

FIRST_WINDOW_BYTES: Final = 64 * 1024
"""Four target frames: some seconds of a slow link; a fast one doubles it every round trip."""

MIN_WINDOW_BYTES: Final = 16 * 1024
"""One target frame; a single frame may always go."""

FIRST_TIMEOUT_S: Final = 10.0
"""Before any round trip is known; on one connection only the broker loses frames, so that
waiting costs little and resending into a slow link costs much."""

MIN_TIMEOUT_S: Final = 2.0
"""The region commits in groups; less would resend what is being committed."""

MAX_TIMEOUT_S: Final = 120.0
"""The longest wait for a receipt, and between two probes without credit."""

FIRST_PROBE_S: Final = 1.0
"""The wait after the first probe without credit; doubles up to ``MAX_TIMEOUT_S``."""

_BASE_PERIOD_S: Final = 60.0  # the least round trip is that of this period and the one before


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """The window's state for status, sizes in bytes and times in seconds."""

    window_bytes: int
    credit_bytes: int | None
    round_trip_s: float | None
    timeout_s: float
    probing: str


MIN_WINDOW_FRAMES: Final = 4
"""Even where frames overtake each other all the time: one that is missed costs three more."""

_FRAMES_GROWTH: Final = 0.25
"""Frames more in flight for each one that was settled: a quarter more in a round trip."""


class Window:
    """Bounds on what is in flight. Pure: ``now_s`` is the monotonic clock."""

    def __init__(self, *, max_bytes: int, max_frames: int) -> None:
        self.max_frames = max_frames
        self._frames = float(max_frames)
        self._max_bytes = max_bytes
        self._bytes = float(min(FIRST_WINDOW_BYTES, max_bytes))
        self._smooth_s: float | None = None
        self._spread_s = 0.0
        self._base_s: tuple[float, float] = (float("inf"), float("inf"))
        self._base_since_s = 0.0
        self._credit: Credit | None = None
        self._credit_until_s = 0.0
        self._probe_at_s = 0.0
        self._probe_wait_s = FIRST_PROBE_S

    # ------------------------------------------------------------------ bounds

    def allowance(self, now_s: float) -> int:
        """Return how many bytes may be in flight now; 0 means that only a probe may go."""
        if self.probing(now_s):
            return 0
        assert self._credit is not None
        return min(int(self._bytes), self._credit.size_bytes)

    @property
    def frames(self) -> int:
        """How many frames may be in flight now."""
        return int(self._frames)

    def credit_left(self, now_s: float) -> int:
        """Return the region's credit, which urgent frames may use beyond the window."""
        if self._credit is None or now_s >= self._credit_until_s:
            return 0
        return self._credit.size_bytes

    def probing(self, now_s: float) -> str:
        """Say why only single frames may go, or empty when they need not."""
        if self._credit is None:
            return "no credit was given yet"
        if now_s >= self._credit_until_s:
            return "the credit has expired"
        return "" if self._credit.size_bytes else "the region gives no credit"

    def may_probe(self, now_s: float) -> bool:
        """Say whether a single frame may go now, when nothing is in flight."""
        return now_s >= self._probe_at_s

    def probed(self, now_s: float) -> None:
        """Note that a probe went out; the next one waits longer."""
        self._probe_at_s = now_s + self._probe_wait_s
        self._probe_wait_s = min(self._probe_wait_s * 2, MAX_TIMEOUT_S)

    @property
    def probe_at_s(self) -> float:
        """From when the next probe may go."""
        return self._probe_at_s

    def timeout_s(self, sends: int) -> float:
        """Return how long to wait for the receipt of a frame that was sent so many times."""
        if self._smooth_s is None:
            first_s = FIRST_TIMEOUT_S
        else:
            first_s = max(MIN_TIMEOUT_S, self._smooth_s + 4 * self._spread_s)
        return float(min(MAX_TIMEOUT_S, first_s * 2 ** min(sends - 1, 10)))

    # ------------------------------------------------------------------ what happened

    def linked(self) -> None:
        """Begin on a new link, which may be a slower one, and where a probe may go at once."""
        self._bytes = min(self._bytes, float(FIRST_WINDOW_BYTES))
        self._probe_at_s = 0.0
        self._probe_wait_s = FIRST_PROBE_S

    def credited(self, credit: Credit, now_s: float) -> None:
        """Take the region's credit."""
        self._credit = credit
        self._credit_until_s = now_s + credit.lifetime_s
        if credit.size_bytes and credit.lifetime_s:
            self._probe_at_s = 0.0
            self._probe_wait_s = FIRST_PROBE_S

    def measured(self, round_trip_s: float, now_s: float) -> None:
        """Take a round trip from a first send to its receipt (RFC 6298 section 2)."""
        if self._smooth_s is None:
            self._smooth_s, self._spread_s = round_trip_s, round_trip_s / 2
        else:
            self._spread_s += (abs(self._smooth_s - round_trip_s) - self._spread_s) / 4
            self._smooth_s += (round_trip_s - self._smooth_s) / 8
        older_s, newer_s = self._base_s
        if now_s - self._base_since_s > _BASE_PERIOD_S:
            older_s, newer_s = newer_s, round_trip_s
            self._base_since_s = now_s
        self._base_s = (older_s, min(newer_s, round_trip_s))

    def settled(
        self, size_bytes: int, round_trip_s: float | None, *, frames: int, full: bool
    ) -> None:
        """Note receipted bytes and frames; the window moves when it held us back (``full``)."""
        self._frames = min(float(self.max_frames), self._frames + frames * _FRAMES_GROWTH)
        if round_trip_s is None:
            return
        queueing_s = round_trip_s - min(self._base_s)
        off_target = max(-1.0, (TARGET_DELAY_S - queueing_s) / TARGET_DELAY_S)
        if off_target > 0 and not full:
            return
        moved = self._bytes + off_target * size_bytes
        self._bytes = max(float(MIN_WINDOW_BYTES), min(float(self._max_bytes), moved))

    def timed_out(self, *, silent: bool) -> None:
        """Note a missing receipt: half the window, or one frame when nothing at all came back."""
        self._bytes = max(float(MIN_WINDOW_BYTES), self._bytes / 2)
        if silent:
            self._bytes = float(MIN_WINDOW_BYTES)

    def went_back(self, in_flight: int) -> None:
        """Note that a frame was missed, and all behind it goes again: half as many at a time.

        Where frames are lost or overtaken again and again, what goes again is then a few frames
        and not a whole window for each that got through.
        """
        self._frames = max(float(MIN_WINDOW_FRAMES), min(self._frames, float(in_flight)) / 2)
        self._bytes = max(float(MIN_WINDOW_BYTES), self._bytes / 2)

    def figures(self, now_s: float) -> WindowFigures:
        """Return the state for status."""
        return WindowFigures(
            window_bytes=int(self._bytes),
            credit_bytes=None if self._credit is None else self.credit_left(now_s),
            round_trip_s=self._smooth_s,
            timeout_s=self.timeout_s(1),
            probing=self.probing(now_s),
        )
