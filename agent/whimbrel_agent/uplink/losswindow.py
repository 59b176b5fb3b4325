"""The window of everything that is not urgent: it halves when something is lost. Pure.

RFC 5681 section 3.1: doubling each round trip until the first loss, then a frame a round trip more.
TCP below repairs what the network loses; what is lost here was dropped by a broker or a region that
had too much.
"""

from __future__ import annotations

from typing import Final

from whimbrel_protocol.limits import TARGET_FRAME_BYTES

FIRST_WINDOW_BYTES: Final = 64 * 1024
"""Four target frames: some seconds of a slow link; a fast one doubles it every round trip."""

MIN_WINDOW_BYTES: Final = TARGET_FRAME_BYTES
"""One target frame; a single frame may always go."""


class LossWindow:
    """Bytes in flight after losses.

    Attributes:
        size_bytes: the window.
        max_bytes: the most it may be.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = float(max_bytes)
        self.size_bytes = float(min(FIRST_WINDOW_BYTES, max_bytes))
        self._threshold = self.max_bytes
        self._cut_s = float("-inf")

    def linked(self) -> None:
        """Begin on a new link, which may be a slower one."""
        self.size_bytes = min(self.size_bytes, float(FIRST_WINDOW_BYTES))
        self._threshold = self.max_bytes

    def settled(self, size_bytes: int, *, full: bool) -> None:
        """Note receipted bytes; it grows only where it held us back."""
        if not full:
            return
        if self.size_bytes < self._threshold:
            grown = self.size_bytes + size_bytes
        else:
            grown = self.size_bytes + size_bytes * TARGET_FRAME_BYTES / self.size_bytes
        self.size_bytes = min(self.max_bytes, grown)

    def lost(self, now_s: float, round_trip_s: float, *, silent: bool) -> bool:
        """Halve it, once a round trip; or close it where nothing at all came back.

        Returns:
            whether this is a new loss.
        """
        if silent:
            self._threshold = max(float(MIN_WINDOW_BYTES), self.size_bytes / 2)
            self.size_bytes = float(MIN_WINDOW_BYTES)
            return True
        if now_s - self._cut_s < round_trip_s:
            return False  # RFC 5681 section 3.2: several losses of one window are one event
        self._cut_s = now_s
        self.size_bytes = self._threshold = max(float(MIN_WINDOW_BYTES), self.size_bytes / 2)
        return True
