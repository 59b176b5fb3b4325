"""A store's day: when it is open, and how busy each hour is.

Devices that only work while the store is open count their waits in open time: a wait that does
not end before closing goes on at the next opening. So no part of a drawn wait is ever lost, and
the entropy of the waits is that of their declaration, at any hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["BLACK_FRIDAY", "ORDINARY", "Day"]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day, which every day repeats.

    Attributes:
        opens_h, closes_h: whole hours of the store's own time, 0 to 24.
        rush: for each hour 0 to 23 how busy it is; 1 is the usual.
        utc_offset_h: whole hours that the store's time is ahead of UTC.
    """

    opens_h: int
    closes_h: int
    rush: tuple[float, ...]
    utc_offset_h: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.opens_h < self.closes_h <= 24:
            raise ValueError(f"open from {self.opens_h} to {self.closes_h}: must be within 0 to 24")
        if len(self.rush) != 24 or min(self.rush) <= 0:
            raise ValueError(f"rush is {self.rush}: must be 24 factors over 0")

    @property
    def open_ms(self) -> int:
        """How long the store is open."""
        return (self.closes_h - self.opens_h) * _HOUR_MS

    def is_open(self, time_ms: int) -> bool:
        """Say whether the store is open at a device time, in ms since 1970 UTC."""
        into_ms = self._into_ms(time_ms)
        return self.opens_h * _HOUR_MS <= into_ms < self.closes_h * _HOUR_MS

    def rush_at(self, time_ms: int) -> float:
        """Give how busy the store is at a time."""
        return self.rush[self._into_ms(time_ms) // _HOUR_MS]

    def opened_ms(self, time_ms: int) -> int:
        """Count the open time from 1970 to a time."""
        days, into_ms = divmod(time_ms + self.utc_offset_h * _HOUR_MS, _DAY_MS)
        today_ms = into_ms - self.opens_h * _HOUR_MS
        return days * self.open_ms + min(max(today_ms, 0), self.open_ms)

    def later(self, time_ms: int, wait_ms: int) -> int:
        """Give the time after ``wait_ms`` of open time; always one at which the store is open.

        From a time that is open, ``opened_ms`` of the two differs by exactly the wait.
        """
        days, into_ms = divmod(self.opened_ms(time_ms) + wait_ms, self.open_ms)
        local_ms = days * _DAY_MS + self.opens_h * _HOUR_MS + into_ms
        return local_ms - self.utc_offset_h * _HOUR_MS

    def _into_ms(self, time_ms: int) -> int:
        return (time_ms + self.utc_offset_h * _HOUR_MS) % _DAY_MS


_RUSH: Final = (
    *(0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 0.7),  # 0 to 7 o'clock
    *(0.6, 0.8, 1.0, 1.4, 1.8, 1.2, 0.8, 0.9),  # noon
    *(1.2, 1.8, 2.0, 1.2, 0.7, 0.5, 0.3, 0.2),  # evening
)

ORDINARY: Final = Day(opens_h=8, closes_h=20, rush=_RUSH)
"""Open from 8 to 20, busiest at noon and after work. The factors are reasoned, not measured."""

BLACK_FRIDAY: Final = Day(
    opens_h=6,
    closes_h=24,
    rush=tuple(
        factor * (5 if 6 <= hour < 10 else 3)  # the doors open to a queue
        for hour, factor in enumerate(_RUSH)
    ),
)
"""Open from 6 to midnight, three times as busy, and five times in the first four hours."""
