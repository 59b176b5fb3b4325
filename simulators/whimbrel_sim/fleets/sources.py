"""Where a device's events come from: one small port, and the store mix behind it.

Workload models have the same two methods, so any of them can feed a fleet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Final, Protocol

from whimbrel_protocol.event import Event
from whimbrel_sim.storemix import store_events

NS_PER_S: Final = 1_000_000_000
MANY_EVENTS: Final = 10**12
"""More than any fleet posts."""

MAX_BEHIND_EVENTS: Final = 2_000
"""A device that was away longer goes on from here; nobody types a day's sales after an outage."""


class Source(Protocol):
    """Makes one device's events, in time order."""

    def next_time_ns(self) -> int | None:
        """When the next event happens, Unix nanoseconds; None when there are no more."""
        ...

    def take_until(self, time_ns: int) -> list[Event]:
        """Give every event that has happened up to a time and was not given before."""
        ...


class MixSource:
    """The store mix at a pace of its own: bursts, as a till posts a basket.

    Args:
        facts: what the events say; several devices may draw from one.
        events_per_s: mean rate.
        burst_events: mean size of a burst.
        start_ns: Unix nanoseconds before which nothing happens.
        random: sizes and pauses.
    """

    def __init__(
        self,
        facts: Iterator[Event],
        *,
        events_per_s: float,
        burst_events: int,
        start_ns: int,
        random: Random,
    ) -> None:
        self._facts = facts
        self._pause_s = burst_events / events_per_s
        self._burst_events = burst_events
        self._random = random
        self._next_ns = start_ns + round(random.random() * self._pause_s * NS_PER_S)

    def next_time_ns(self) -> int:
        """When the next burst begins."""
        return self._next_ns

    def take_until(self, time_ns: int) -> list[Event]:
        """Give the bursts up to a time, each event a millisecond after the one before."""
        events: list[Event] = []
        while self._next_ns <= time_ns:
            if len(events) < MAX_BEHIND_EVENTS:
                size = self._random.randint(1, 2 * self._burst_events - 1)
                events += [
                    replace(next(self._facts), time_ns=self._next_ns + place * 1_000_000)
                    for place in range(size)
                ]
            pause_s = self._random.expovariate(1 / self._pause_s)
            self._next_ns += max(1, round(pause_s * NS_PER_S))
        return events


def mix_facts(seed: int, name: str) -> Iterator[Event]:
    """Give an endless store day from a seed."""
    return store_events(seed, MANY_EVENTS, store=name)
