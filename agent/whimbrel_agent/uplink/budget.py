"""The bytes of a month on a metered link, counted so that no crash forgets any. Pure.

Bytes are counted in blocks ahead: a block is made durable before its first byte is sent. After a crash
the whole block counts as sent, so the count may be too high by a block for each crash, never too low. An
orderly stop leaves the exact count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIN_BLOCK_BYTES: Final = 64 * 1024
MAX_BLOCK_BYTES: Final = 1024 * 1024
"""A block is a thousandth of the budget within these: a sync of the card per megabyte at most."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What is durable about one budget.

    Attributes:
        name: of the class of links.
        period: the month, counted in months.
        size_bytes: sent, or may have been.
    """

    name: str
    period: int
    size_bytes: int


class Budget:
    """One class's budget.

    Args:
        name: of the class.
        limit_bytes: of a month.
        before: what is durable from earlier processes; None for nothing.
    """

    def __init__(self, name: str, limit_bytes: int, before: Spent | None = None) -> None:
        self._name = name
        self._limit = limit_bytes
        self._period = before.period if before else 0
        self._spent = before.size_bytes if before else 0
        self._reserved = self._spent
        self._block = max(MIN_BLOCK_BYTES, min(MAX_BLOCK_BYTES, limit_bytes // 1000))

    def at(self, period: int) -> None:
        """Begin a new month when it is one.

        A clock that goes back changes the month and forgives nothing; an unknown one (0) changes
        nothing.
        """
        if period in (0, self._period):
            return
        if period > self._period and self._period:
            self._spent = self._reserved = 0
        self._period = period

    @property
    def left_bytes(self) -> int:
        """What may still be sent this month; negative when urgent frames went beyond it."""
        return self._limit - self._spent

    def sent(self, size_bytes: int) -> None:
        """Count bytes that are about to be sent."""
        self._spent += size_bytes

    def to_reserve(self) -> Spent | None:
        """Return what must be durable before what was counted is sent; None when it is."""
        if self._spent <= self._reserved:
            return None
        blocks = -(-(self._spent - self._reserved) // self._block)
        self._reserved += blocks * self._block
        return Spent(self._name, self._period, self._reserved)

    def exact(self) -> Spent:
        """Return the exact count, for an orderly stop."""
        return Spent(self._name, self._period, self._spent)
