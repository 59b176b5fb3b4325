"""How often something to send comes: the mean gap between arrivals, lately. Pure."""

from __future__ import annotations

from typing import Final

GAP_WEIGHT: Final = 0.02
"""Of the newest gap in the mean: it remembers some fifty."""


class ArrivalGap:
    """The mean gap; ``mean_s`` is None before the second arrival."""

    def __init__(self) -> None:
        self.mean_s: float | None = None
        self._before_s: float | None = None

    def arrived(self, now_s: float) -> None:
        """Note an arrival."""
        if self._before_s is not None:
            gap_s = now_s - self._before_s
            mean_s = self.mean_s
            self.mean_s = gap_s if mean_s is None else mean_s + GAP_WEIGHT * (gap_s - mean_s)
        self._before_s = now_s
