"""One simulated device: draws from its kind's declaration, told as events.

``Kind`` says what a kind of device is; ``Device`` is one of them as a stream. The rule that makes
the entropy of a kind true: all chance of an event comes from ``Kind.record``, and every draw shows
in the event, so the event says no less than what was drawn. First values and the catalogue come
from another generator; they are drawn once and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from whimbrel_protocol.event import Event, make_event

from .catalogue import Article
from .hours import Day
from .record import Drawn, Record

__all__ = ["MAX_RATE", "MIN_RATE", "Device", "Kind", "Pace", "Site", "Teller", "toward"]

MIN_RATE: Final = 0.001
MAX_RATE: Final = 100.0
"""Of the usual; beyond it waits are shorter than their own jitter, or a tick shorter than 1 ms."""

_MS_NS: Final = 1_000_000
_DAY_MS: Final = 86_400_000

Told = tuple[str, dict[str, Any]]
"""An event's type and data."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the devices of a store share: its hours and its articles."""

    day: Day
    articles: Sequence[Article]


class Teller(Protocol):
    """Turns draws into events of one device, whose state it holds; it has no chance of its own."""

    def tell(self, drawn: Drawn, time_ms: int) -> Told:
        """Give type and data; different draws must give different ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a device waits from one event to the next.

    The wait is ``period_ms / rate`` and ``ticks`` of ``tick_ms`` each, where the ticks are the
    drawn field ``ticks``. A tick is a whole number of milliseconds, at least one, that both ends
    can compute from the event before: so the time of the next event gives the ticks back.

    Attributes:
        period_ms: the fixed part at rate 1.
        tick_ms: of one tick at rate 1 and rush 1; for a jitter the same at every rate.
        by_rush: ticks shrink with the rate and with how busy the hour is.
        only_open: waits count open time only.
    """

    period_ms: int = 0
    tick_ms: int = 1
    by_rush: bool = False
    only_open: bool = False

    def tick_at(self, day: Day, time_ms: int, rate: float) -> int:
        """Give the length of a tick in ms, for a wait that begins then."""
        if not self.by_rush:
            return self.tick_ms
        return max(1, round(self.tick_ms / (rate * day.rush_at(time_ms))))

    def after(self, day: Day, time_ms: int, ticks: int, rate: float) -> int:
        """Give the time of the event after the one at ``time_ms``."""
        wait_ms = round(self.period_ms / rate) + ticks * self.tick_at(day, time_ms, rate)
        return day.later(time_ms, wait_ms) if self.only_open else time_ms + wait_ms

    def ticks_between(self, day: Day, time_ms: int, next_ms: int, rate: float) -> int:
        """Give the ticks that were drawn between two events of one device."""
        if self.only_open:
            wait_ms = day.opened_ms(next_ms) - day.opened_ms(time_ms)
        else:
            wait_ms = next_ms - time_ms
        return (wait_ms - round(self.period_ms / rate)) // self.tick_at(day, time_ms, rate)

    def events_per_day(self, day: Day, mean_ticks: float, rate: float) -> float:
        """Give the expected number of events of one device on one day.

        By renewal theory (events per time = 1 / mean wait), hour by hour; a wait that reaches
        into the next hour keeps its tick, which this leaves out.
        """
        fixed_ms = round(self.period_ms / rate)
        if not self.by_rush:
            shown_ms = day.open_ms if self.only_open else _DAY_MS
            return shown_ms / (fixed_ms + mean_ticks * self.tick_ms)
        hours = range(day.opens_h, day.closes_h) if self.only_open else range(24)
        starts_ms = ((hour - day.utc_offset_h) * 3_600_000 for hour in hours)
        ticks_ms = (self.tick_at(day, start_ms, rate) for start_ms in starts_ms)
        return sum(3_600_000 / (fixed_ms + mean_ticks * tick_ms) for tick_ms in ticks_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of device.

    Attributes:
        name: such as ``till``; devices are ``till-1``, ``till-2``, ...
        count: how many an ordinary store has.
        zone: where they are.
        record: everything that is drawn for an event; has the field ``ticks``.
        pace: how the ticks become a time.
        start: makes the teller of a device, given a generator for its first values, the
            device's number from 1, and its store.
        telling: the members of ``data`` that carry all that was drawn; the others follow.
    """

    name: str
    count: int
    zone: str
    record: Record
    pace: Pace
    start: Callable[[Random, int, Site], Teller]
    telling: tuple[str, ...]

    @property
    def entropy_bits(self) -> float:
        """Bits per event."""
        return self.record.entropy_bits

    def events_per_day(self, day: Day, rate: float = 1.0) -> float:
        """Give the expected number of events of one such device on one day."""
        return self.pace.events_per_day(day, self.record.mean("ticks"), rate)


class Device:
    """One device as a stream without an end.

    Args:
        kind: what it is.
        number: which of its kind in the store, from 1.
        setup: for first values.
        rng: for everything else; its own.
        site: the store.
        start_ms: device time from which it runs, ms since 1970 UTC.
        rate: factor on the usual number of events, ``MIN_RATE`` to ``MAX_RATE``.
    """

    __slots__ = ("_day", "_drawn", "_kind", "_rate", "_rng", "_source", "_teller", "_time_ms")

    def __init__(
        self,
        kind: Kind,
        number: int,
        *,
        setup: Random,
        rng: Random,
        site: Site,
        start_ms: int,
        rate: float = 1.0,
    ) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"rate is {rate}: must be {MIN_RATE} to {MAX_RATE}")
        self._kind = kind
        self._day = site.day
        self._rate = rate
        self._rng = rng
        self._source = f"{kind.name}-{number}"
        self._teller = kind.start(setup, number, site)
        self._drawn: Drawn = {}
        phase_ms = int(setup.random() * kind.pace.period_ms / rate)
        # jitter may be early; the first event still is not before the start
        self._time_ms = start_ms + phase_ms - round(kind.pace.period_ms / rate)
        while True:
            self._draw()
            if self._time_ms >= start_ms:
                break

    def next_time_ns(self) -> int:
        """Give the time of the next event."""
        return self._time_ms * _MS_NS

    def take(self) -> Event:
        """Take the next event."""
        time_ms = self._time_ms
        kind = self._kind
        name, data = self._teller.tell(self._drawn, time_ms)
        self._draw()
        return make_event(
            name, self._source, time_ms * _MS_NS, data, kind.zone, None, "normal", None, {}
        )

    def take_until(self, time_ns: int) -> list[Event]:
        """Take all events up to and including a time."""
        taken = []
        while self._time_ms * _MS_NS <= time_ns:
            taken.append(self.take())
        return taken

    def _draw(self) -> None:
        kind, drawn = self._kind, self._drawn
        kind.record.draw(self._rng, drawn)
        self._time_ms = kind.pace.after(self._day, self._time_ms, drawn["ticks"], self._rate)


def toward(value: int, step: int, target: int) -> int:
    """Walk one step that is meant as seen from above the target: below it, it is mirrored.

    With steps that lead down more often than up, the walk stays near a target, which may move.
    Where the value is above or at the target says which of the two holds, so the step can be read
    from the two values, and its entropy is that of its distribution wherever the walk is.
    """
    return value + step if value >= target else value - step
