"""Days of a store: all its devices as one stream of events.

What this is: a deterministic stream from a seed, without an end. What it is not: real data; rates
and spreads are reasoned, not measured. The rule it keeps: a device's events depend on the seed,
the store, its kind and its number only, not on what other devices there are or on how much is
taken at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Final

from whimbrel_protocol.event import Event

from .catalogue import draw_articles
from .device import Device, Kind, Site
from .entropy import Share, mix_bits
from .hours import ORDINARY, Day
from .kinds import KINDS
from .stream import Merged, take_events

__all__ = ["START_NS", "StoreDay", "store_day_events"]

_MS_NS: Final = 1_000_000
START_NS: Final = 1_767_225_600 * 10**9
"""2026-01-01T00:00:00Z, midnight before an ordinary day."""


class StoreDay:
    """What a store's devices produce from a time on.

    Args:
        seed: the same seed and store give the same events.
        store: a name that makes stores of one seed differ.
        start_ns: device time from which they run, nanoseconds since 1970 UTC, whole ms.
        day: its hours; ``BLACK_FRIDAY`` for a rush.
        rate: factor on the usual number of events of every device.
        counts: how many devices of which kinds, the usual number of each kind when None.

    Raises:
        ValueError: an unknown kind, no whole millisecond, or a rate beyond its limits.
    """

    def __init__(
        self,
        seed: int,
        store: str = "store-1",
        *,
        start_ns: int = START_NS,
        day: Day = ORDINARY,
        rate: float = 1.0,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        if counts is None:
            counts = {name: kind.count for name, kind in KINDS.items()}
        if unknown := set(counts) - set(KINDS):
            raise ValueError(f"no kind is called {sorted(unknown)}: there are {', '.join(KINDS)}")
        if start_ns % _MS_NS:
            raise ValueError(f"start_ns is {start_ns}: must be a whole millisecond")
        self.seed = seed
        self.store = store
        self.start_ns = start_ns
        self.day = day
        self.rate = rate
        self.counts = dict(counts)
        self._site = Site(day, draw_articles(Random(f"{seed}/{store}/articles")))

    def stream(self) -> Merged:
        """Start all devices; each call starts them anew."""
        kinds = [(KINDS[name], count) for name, count in self.counts.items()]
        return Merged([one for kind, count in kinds for one in self.devices(kind, count)])

    def devices(self, kind: Kind, count: int) -> list[Device]:
        """Start the devices of one kind, by themselves."""
        name = f"{self.seed}/{self.store}/{kind.name}"
        return [
            Device(
                kind,
                number,
                setup=Random(f"{name}/{number}/setup"),
                rng=Random(f"{name}/{number}"),
                site=self._site,
                start_ms=self.start_ns // _MS_NS,
                rate=self.rate,
            )
            for number in range(1, count + 1)
        ]

    def events(self, duration_s: float | None = None) -> Iterator[Event]:
        """Give the events from the start, for a time or for ever."""
        end_ns = None if duration_s is None else self.start_ns + round(duration_s * 10**9)
        return take_events(self.stream(), end_ns)

    def events_per_day(self) -> float:
        """Give the expected number of events on one day."""
        return sum(share.events for share in self.shares())

    def entropy_bits(self) -> float:
        """Give the entropy per event of the whole stream; see ``entropy``."""
        return mix_bits(self.shares())

    def shares(self) -> list[Share]:
        """Give what each kind adds: events per day and bits per event."""
        return [
            Share(
                name=name,
                devices=count,
                events=count * KINDS[name].events_per_day(self.day, self.rate),
                bits_per_event=KINDS[name].entropy_bits,
                most_bits=KINDS[name].record.most_bits,
            )
            for name, count in self.counts.items()
            if count
        ]


def store_day_events(
    seed: int,
    store: str = "store-1",
    start_ns: int = START_NS,
    duration_s: float = 86_400.0,
    *,
    day: Day = ORDINARY,
    rate: float = 1.0,
) -> Iterator[Event]:
    """Give the events of an ordinary store's devices, in time order: ``StoreDay`` in one call."""
    return StoreDay(seed, store, start_ns=start_ns, day=day, rate=rate).events(duration_s)
