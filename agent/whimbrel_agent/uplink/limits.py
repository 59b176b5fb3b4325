"""What may be sent over which link: caps by time of day, a monthly budget, how polite. Pure.

The first class of links that a connection fits (by its broker or by the network interface it goes out
of) has its rules; the last one, of the settings in ``[uplink]`` itself, fits every connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from fnmatch import fnmatchcase
from typing import Final

PLAUSIBLE_NS: Final = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
"""A wall clock before this lost its time; nothing about hours or months is known then."""

SEGMENT_FACTOR: Final = 1500 / 1448
"""Bytes on the wire for each of a frame's: a full Ethernet packet carries 1448 bytes beside its IPv4
(20), TCP (20) and time stamp (12) headers."""

FRAME_OVERHEAD_BYTES: Final = 400
"""Beside each frame: topic and MQTT header (about 80), the TCP acknowledgements of it (about one in
two segments, 52 bytes: 300 for a full frame), our PUBACK for its receipt."""


def wire_bytes(frame_bytes: int) -> int:
    """Estimate what a frame takes of the link, both directions but for the receipt."""
    return int(frame_bytes * SEGMENT_FACTOR) + FRAME_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class DayLimit:
    """A cap from one minute of the day to another; past midnight where it ends before it begins.

    Attributes:
        from_minute: first minute of the day.
        to_minute: first minute that it is not for.
        bytes_per_s: the cap.
    """

    from_minute: int
    to_minute: int
    bytes_per_s: float

    def holds(self, minute: int) -> bool:
        """Say whether it is for this minute of the day."""
        if self.from_minute < self.to_minute:
            return self.from_minute <= minute < self.to_minute
        return minute >= self.from_minute or minute < self.to_minute


@dataclass(frozen=True, slots=True)
class Cap:
    """The cap in force and why; None means that there is none."""

    bytes_per_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class LinkFit:
    """Which connections are of one class: see :class:`LinkRules`."""

    name: str
    interfaces: tuple[str, ...]
    brokers: tuple[int, ...]

    def holds(self, broker: int, interface: str) -> bool:
        """Say whether a connection is of this class."""
        if self.brokers and broker not in self.brokers:
            return False
        return not self.interfaces or any(fnmatchcase(interface, one) for one in self.interfaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """The rules of one class of links.

    Attributes:
        name: for status, and what its budget is counted under.
        polite: background traffic gives way to everybody else on the link; else it takes a fair
            share, as any TCP connection does.
        bytes_per_s: the cap at any time; None for none.
        day_limits: caps by time of day; the least that holds counts.
        replay_bytes_per_s: the cap of what travels as replay; None for none.
        monthly_bytes: the budget of a month; None for none.
        month_day: the day on which a month begins, 1 to 28.
        zone: whose hours and days these are.
        interfaces: names of network interfaces, with ``*``; empty for any.
        brokers: indices of brokers; empty for any.
    """

    name: str = "uplink"
    polite: bool = True
    bytes_per_s: float | None = None
    day_limits: tuple[DayLimit, ...] = ()
    replay_bytes_per_s: float | None = None
    monthly_bytes: int | None = None
    month_day: int = 1
    zone: tzinfo = UTC
    interfaces: tuple[str, ...] = ()
    brokers: frozenset[int] = frozenset()

    @property
    def fits(self) -> LinkFit:
        """Which connections are of this class."""
        return LinkFit(self.name, self.interfaces, tuple(sorted(self.brokers)))

    def cap_at(self, wall_ns: int) -> Cap:
        """Return the cap in force at a time of the device's wall clock."""
        caps = (
            [] if self.bytes_per_s is None else [Cap(self.bytes_per_s, f"the cap of {self.name}")]
        )
        if wall_ns < PLAUSIBLE_NS:
            lost = "the clock lost its time, so the least of the day's caps counts"
            caps += [Cap(limit.bytes_per_s, lost) for limit in self.day_limits]
        elif self.day_limits:
            moment = datetime.fromtimestamp(wall_ns // 1_000_000_000, self.zone)
            minute = moment.hour * 60 + moment.minute
            why = f"the cap of {self.name} at {moment:%H:%M}"
            caps += [Cap(one.bytes_per_s, why) for one in self.day_limits if one.holds(minute)]
        return min(caps, key=lambda cap: cap.bytes_per_s or 0.0, default=Cap(None, "no cap is set"))

    def period_at(self, wall_ns: int) -> int:
        """Return which month of the budget a time is in, counted in months; 0 when unknown."""
        if wall_ns < PLAUSIBLE_NS:
            return 0
        moment = datetime.fromtimestamp(wall_ns // 1_000_000_000, self.zone)
        return moment.year * 12 + moment.month - 1 - (moment.day < self.month_day)


@dataclass(frozen=True, slots=True)
class LinkInputs:
    """What a link's class is decided from: the classes, the broker's index, the interface."""

    classes: tuple[LinkFit, ...]
    broker: int
    interface: str


@dataclass(frozen=True, slots=True)
class LinkClass:
    """Which of the classes a link is of, by its place and name, and why."""

    index: int
    name: str
    reason: str


def decide_class(inputs: LinkInputs) -> LinkClass:
    """Return the first class that a connection fits; the last one if none does."""
    classes = inputs.classes
    last = len(classes) - 1
    index = next(
        (i for i, one in enumerate(classes) if one.holds(inputs.broker, inputs.interface)), last
    )
    name = classes[index].name
    through = f"interface {inputs.interface}" if inputs.interface else "an interface not known"
    first = "the first class that fits" if index < last else "no other class fits"
    return LinkClass(index, name, f"{first} broker {inputs.broker} and {through}")
