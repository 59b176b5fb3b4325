"""How a forwarder retries, and when it gives up on an event: pure decisions.

Retry delays follow decorrelated jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015): each is drawn between a base and three times the one before, under a
cap, so that forwarders which failed together do not come back together. A sink's own wish
(``Retry-After``) only ever lengthens the wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

RETRY_BASE_S: Final = 0.5
"""A restart of the receiver behind a load balancer is mostly over by then."""

RETRY_CAP_S: Final = 60.0
"""An outage costs the receiver one try a minute per partition in flight, and ends within one."""

RETRY_AFTER_CAP_S: Final = 3_600.0
"""A receiver may ask for an hour; a longer wish is a mistake on its side."""

MAX_REFUSED_IN_A_ROW: Final = 100
"""So many events parked with none accepted between them stop the forwarder: a wrong address or
token looks like this, poison does not."""

MAX_ANSWER_CHARACTERS: Final = 2_000
"""How much of a receiver's answer is kept with a parked event."""


class Chance(Protocol):
    """Where jitter comes from."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Where a partition stands in its retries; ``Backoff()`` is a clean start."""

    attempts: int = 0
    delay_s: float = 0.0

    def failed(self, chance: Chance, *, wish_s: float | None = None) -> Backoff:
        """Return the state after one more failure; its ``delay_s`` is how long to wait now."""
        longest_s = 3 * max(RETRY_BASE_S, min(self.delay_s, RETRY_CAP_S))
        delay_s = min(RETRY_CAP_S, RETRY_BASE_S + chance.random() * (longest_s - RETRY_BASE_S))
        if wish_s is not None:
            delay_s = max(delay_s, min(wish_s, RETRY_AFTER_CAP_S))
        return Backoff(self.attempts + 1, delay_s)


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many events a receiver refused in a row, over all partitions of a forwarder."""

    in_a_row: int = 0

    def after(self, *, accepted: int, refused: int) -> Refusals:
        """Return the count after a delivery of which some were accepted and some refused."""
        return Refusals(refused if accepted else self.in_a_row + refused)

    def stop_reason(self) -> str | None:
        """Say why the forwarder must stop, or None when it may go on."""
        if self.in_a_row < MAX_REFUSED_IN_A_ROW:
            return None
        return (
            f"the receiver refused {self.in_a_row} events in a row and accepted none: check its "
            "address and credentials, then restart or drop a parked event; they are all parked"
        )
