"""When the next bytes may go at a given rate: the virtual clock of a leaky bucket. Pure.

ITU-T I.371's generic cell rate algorithm: each frame moves the time of the next one on by its bytes over
the rate. Sending may be early by a tolerance, so that a timer that was late does not lower the rate.
"""

from __future__ import annotations


class Pacer:
    """Spaces frames.

    Args:
        tolerance_s: as much of a burst may go at once, and as much lateness is caught up with.
    """

    def __init__(self, tolerance_s: float) -> None:
        self._tolerance_s = tolerance_s
        self._next_s = float("-inf")

    def ready_s(self) -> float:
        """Return from when the next frame may go."""
        return self._next_s - self._tolerance_s

    def sent(self, size_bytes: float, rate_per_s: float, now_s: float) -> None:
        """Charge a frame; whoever may not wait (urgent frames) is charged all the same."""
        begin_s = max(self._next_s, now_s - self._tolerance_s)
        self._next_s = begin_s + size_bytes / rate_per_s
