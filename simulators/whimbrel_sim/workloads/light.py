"""Light devices for large fleets: a stated number of events a day, next to nothing to simulate.

An event is computed from its number when it is taken, by a mixing function over the device's own
64-bit seed, so a device holds a few numbers, and any of its events can be skipped at no cost.
Devices differ in phase, jitter and level.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from whimbrel_protocol.event import Event, make_event

from .distributions import UniformInteger

__all__ = ["LIGHT_EVENTS_PER_DAY", "LightDevice", "light_devices", "light_entropy_bits"]

LIGHT_EVENTS_PER_DAY: Final = 1_000
_DAY_MS: Final = 86_400_000
_MS_NS: Final = 1_000_000

_JITTER_MS: Final = UniformInteger(0, 511)
_LEVEL: Final = UniformInteger(0, 255)
"""Powers of two, so that bits of the mix give each value exactly as often."""

_MASK: Final = 2**64 - 1
_STEP: Final = 0x9E37_79B9_7F4A_7C15
_MAX_PER_DAY: Final = _DAY_MS // 1_024
"""A period is at least twice the jitter, so that events keep their order."""


class LightDevice:
    """One device as a stream without an end.

    Args:
        source: its name in the events.
        rng: gives its seed and phase.
        start_ns: device time from which it runs, nanoseconds since 1970 UTC, whole ms.
        events_per_day: how many.

    Raises:
        ValueError: too many events a day, or none.
    """

    __slots__ = ("_mixed", "_next", "_next_ms", "_phase_ms", "_seed", "_source", "events_per_day")

    def __init__(
        self,
        source: str,
        rng: Random,
        *,
        start_ns: int,
        events_per_day: int = LIGHT_EVENTS_PER_DAY,
    ) -> None:
        if not 1 <= events_per_day <= _MAX_PER_DAY:
            raise ValueError(f"events_per_day is {events_per_day}: must be 1 to {_MAX_PER_DAY}")
        self.events_per_day = events_per_day
        self._source = source
        self._seed = rng.getrandbits(64)
        self._phase_ms = start_ns // _MS_NS + int(rng.random() * _DAY_MS / events_per_day)
        self._move(0)

    def next_time_ns(self) -> int:
        """Give the time of the next event."""
        return self._next_ms * _MS_NS

    def take(self) -> Event:
        """Take the next event."""
        number = self._next
        data = {"count": number, "level": _LEVEL.of_bits(self._mixed >> 32)}
        time_ns = self._next_ms * _MS_NS
        self._move(number + 1)
        return make_event(
            "light.level", self._source, time_ns, data, None, None, "normal", None, {}
        )

    def take_until(self, time_ns: int) -> list[Event]:
        """Take all events up to and including a time."""
        taken = []
        while self._next_ms * _MS_NS <= time_ns:
            taken.append(self.take())
        return taken

    def skip_until(self, time_ns: int) -> int:
        """Pass all events up to and including a time; gives their number, at no cost."""
        passed = max(self._due(time_ns) - self._next, 0)
        if passed:
            self._move(self._next + passed)
        return passed

    def _move(self, number: int) -> None:
        self._next = number
        self._mixed = self._bits(number)
        self._next_ms = self._time_ms(number, self._mixed)

    def _due(self, time_ns: int) -> int:
        """Give the number of the first event after a time."""
        time_ms = time_ns // _MS_NS
        number = max((time_ms - self._phase_ms) * self.events_per_day // _DAY_MS, 0)
        while number and self._time_ms(number, self._bits(number)) > time_ms:
            number -= 1
        while self._time_ms(number, self._bits(number)) <= time_ms:
            number += 1
        return number

    def _time_ms(self, number: int, bits: int) -> int:
        at_ms = self._phase_ms + number * _DAY_MS // self.events_per_day
        return at_ms + _JITTER_MS.of_bits(bits)

    def _bits(self, number: int) -> int:
        """Mix the seed and a number into 64 bits.

        SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
        generators", OOPSLA 2014), which may be entered at any number.
        """
        mixed = (self._seed + number * _STEP) & _MASK
        mixed = ((mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9) & _MASK
        mixed = ((mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB) & _MASK
        return mixed ^ mixed >> 31


def light_entropy_bits() -> float:
    """Give the entropy of an event of a light device: its jitter and its level."""
    return _JITTER_MS.entropy_bits + _LEVEL.entropy_bits


def light_devices(
    seed: int,
    store: str,
    count: int,
    *,
    start_ns: int,
    events_per_day: int = LIGHT_EVENTS_PER_DAY,
) -> Sequence[LightDevice]:
    """Make the light devices of a store; they depend on seed, store and their number only."""
    return [
        LightDevice(
            f"light-{number}",
            Random(f"{seed}/{store}/light/{number}"),
            start_ns=start_ns,
            events_per_day=events_per_day,
        )
        for number in range(1, count + 1)
    ]
