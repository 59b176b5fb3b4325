"""The circuit breaker of one sink: closed, open, half-open. Pure.

A partition's own retries (:mod:`.policy`) assume that its sink works for the others. When the
sink itself is down, every partition would try it in turn, each with a page in memory. So
deliveries are counted over all partitions:

=========  =====================================  =========================================
state      deliveries                             leaves it
=========  =====================================  =========================================
closed     pass                                   open: so many failures in a row, failures for
                                                  so long, or one call that did not return
open       wait                                   half-open: when its wait is over
half-open  one passes, the others wait for it     closed: it settled something; open: it did not
=========  =====================================  =========================================

Each opening waits longer than the one before (decorrelated jitter, as in :mod:`.policy`), so that
sinks which went down together are not asked together. The pattern is Michael Nygard's ("Release
It!", 2007, chapter 5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from .policy import RETRY_AFTER_CAP_S, RETRY_CAP_S, Chance

OPEN_AFTER_FAILURES: Final = 5
"""Failures in a row over all partitions: more than one round of the deliveries in flight (4), so
that one bad moment of a receiver does not open it."""

OPEN_AFTER_S: Final = 30.0
"""Failures alone for so long open it too: a sink with one slow partition fails rarely."""

OPEN_BASE_S: Final = 1.0
"""The shortest time for which it stays open."""


class BreakerState(StrEnum):
    """Whether deliveries may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Where a sink's breaker stands; ``Breaker()`` is a clean start. Times are monotonic seconds.

    Attributes:
        state: whether deliveries pass.
        failures: failed deliveries since the last one that settled something.
        first_failed_s: when the first of them failed; None without one.
        retry_s: from when an open breaker lets a probe pass.
        wait_s: for how long it was opened last; 0 when it was closed since.
        opened: how often it went from closed to open since the start.
        reason: why it is not closed; empty when it is.
    """

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    first_failed_s: float | None = None
    retry_s: float = 0.0
    wait_s: float = 0.0
    opened: int = 0
    reason: str = ""

    def entering(self, *, now_s: float) -> tuple[Breaker, float | None]:
        """Return the state after a delivery asked to pass, and how long it must wait.

        0.0: it passes now, and is the probe if the state is half-open. None: it waits until the
        state changes, since a probe is on its way.
        """
        match self.state:
            case BreakerState.CLOSED:
                return self, 0.0
            case BreakerState.HALF_OPEN:
                return self, None
            case BreakerState.OPEN:
                if now_s < self.retry_s:
                    return self, self.retry_s - now_s
                return replace(self, state=BreakerState.HALF_OPEN), 0.0

    def settled(self) -> Breaker:
        """Return the state after a delivery that settled something: the sink works."""
        return Breaker(opened=self.opened)

    def failed(
        self,
        chance: Chance,
        reason: str,
        *,
        now_s: float,
        hung: bool = False,
        wish_s: float | None = None,
    ) -> Breaker:
        """Return the state after a delivery that settled nothing.

        Args:
            chance: where jitter comes from.
            reason: what the sink said.
            now_s: monotonic seconds.
            hung: the call did not return in its time: it opens at once, since each such call
                holds a place in flight for as long.
            wish_s: how long the sink asked to be left alone; it only ever lengthens the wait.
        """
        first_s = now_s if self.first_failed_s is None else self.first_failed_s
        counted = replace(self, failures=self.failures + 1, first_failed_s=first_s)
        if self.state is BreakerState.OPEN:
            return counted  # it was on its way when the breaker opened
        long = counted.failures > 1 and now_s - first_s >= OPEN_AFTER_S
        probed = self.state is BreakerState.HALF_OPEN
        if not (hung or probed or long or counted.failures >= OPEN_AFTER_FAILURES):
            return counted
        longest_s = 3 * max(OPEN_BASE_S, min(self.wait_s, RETRY_CAP_S))
        wait_s = min(RETRY_CAP_S, OPEN_BASE_S + chance.random() * (longest_s - OPEN_BASE_S))
        if wish_s is not None:
            wait_s = max(wait_s, min(wish_s, RETRY_AFTER_CAP_S))
        return replace(
            counted,
            state=BreakerState.OPEN,
            retry_s=now_s + wait_s,
            wait_s=wait_s,
            opened=self.opened + (not probed),
            reason=reason,
        )

    def abandoned(self, *, now_s: float) -> Breaker:
        """Return the state after a probe that was cancelled: the next one may pass at once."""
        if self.state is not BreakerState.HALF_OPEN:
            return self
        return replace(self, state=BreakerState.OPEN, retry_s=now_s)
