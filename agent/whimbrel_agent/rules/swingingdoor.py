"""The swinging door: a series becomes straight lines that keep within a stated band. Pure.

After E. H. Bristol, "Swinging Door Trending: Adaptive Trend Recording?", ISA National Conference
Proceedings, 1990, pp. 749-754. From the value sent last, two door posts ``band`` above and below
every later value leave an opening of slopes. While a new value lies in the opening, the one before
it is not needed. When it does not, the one before it is sent and the next door hangs there.

Bristol's doors hang ``band`` above and below the value sent; his lines may leave the band. Ours
hang at the value itself, and a value ends a line only if its own slope lies in the opening left by
all values between. So the straight line between two values sent differs from each value between
them by no more than the band; rounding is inside that (``_SLACK``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from whimbrel_agent.rules.marks import NO_NUMBER, TOO_LARGE, marked, odd
from whimbrel_agent.rules.numbers import (
    Number,
    getters_of,
    held_event,
    loaded_event,
    numbers_of,
)
from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_protocol.event import Event

__all__ = ["Door", "SwingingDoor"]

_SLACK: Final = 16 * 2.0**-52
"""Taken off the band, times the values' size: more than a slope and a line drawn by it round."""


@dataclass(frozen=True, slots=True)
class Door:
    """A line under way.

    Attributes:
        time_ns: where it begins: the value sent last.
        first: the values there.
        low, high: the opening, slopes per nanosecond, one pair per field.
        held: the value seen last, which may end the line; None right after one was sent.
        held_ns: its time.
        count: raw events held back, that one included.
        from_ns: time of the first of them.
        due_ns: the one held is sent then, by the monotonic clock.
    """

    time_ns: int
    first: tuple[Number, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    held: bytes | None = None
    held_ns: int = 0
    count: int = 0
    from_ns: int = 0
    due_ns: int = 0


class SwingingDoor:
    """Sends the ends of lines that keep within the band of everything between them."""

    def __init__(self, config: RuleConfig) -> None:
        self._name = config.name
        self._getters = getters_of(config.fields)
        self._band = config.band
        self._hold_ns = int(config.hold_s * 1e9)
        at_least = config.at_least_s
        self._at_least_ns = None if at_least is None else int(at_least * 1e9)

    def take(self, state: Door | None, event: Event, now: Moment) -> Step:
        """Take an event."""
        numbers = numbers_of(event, self._getters)
        if numbers is None:
            return odd(state, event, self._name, NO_NUMBER)
        packed = held_event(event)
        if packed is None:
            return odd(state, event, self._name, TOO_LARGE)
        if state is None:
            return self._begin(event, numbers, ())
        if event.time_ns <= max(state.time_ns, state.held_ns if state.held else state.time_ns):
            # no line leads back in time: what is held ends here, a new one begins
            return self._begin(event, numbers, self._ends(state))
        if self._is_long(state, event.time_ns):
            sent = self._ends(state)
            return self._begin(event, numbers, sent)
        if state.held is None or self._in_opening(state, event.time_ns, numbers):
            return self._narrowed(state, event.time_ns, numbers, packed, now)
        sent = self._ends(state)
        end = loaded_event(state.held)
        ends = numbers_of(end, self._getters)
        assert ends is not None
        begun = Door(end.time_ns, ends)
        step = self._narrowed(begun, event.time_ns, numbers, packed, now)
        return replace(step, sent=sent)

    def due(self, state: Door, now: Moment) -> Step | None:
        """Send what has been held long enough; the next line begins there."""
        if state.held is None or now.mono_ns < state.due_ns:
            return None
        end = loaded_event(state.held)
        numbers = numbers_of(end, self._getters)
        assert numbers is not None
        return Step(Door(end.time_ns, numbers), sent=self._ends(state))

    def close(self, state: Door) -> tuple[Event, ...]:
        """Give the value that is held."""
        return self._ends(state)

    def deadline_ns(self, state: Door) -> int | None:
        """When the value that is held must go."""
        return None if state.held is None else state.due_ns

    def held(self, state: Door) -> int:
        """Raw events since the one sent last."""
        return state.count

    def pack(self, state: Door) -> Any:
        """Give the state as a list."""
        return [
            *(state.time_ns, list(state.first), list(state.low), list(state.high)),
            *(state.held, state.held_ns, state.count, state.from_ns),
        ]

    def unpack(self, packed: Any, now: Moment) -> Door:
        """Read the list; what is held waits anew, at most ``hold_s``."""
        time_ns, first, low, high, held, held_ns, count, from_ns = packed
        due_ns = now.mono_ns + self._hold_ns
        return Door(
            time_ns, tuple(first), tuple(low), tuple(high), held, held_ns, count, from_ns, due_ns
        )

    def _begin(self, event: Event, numbers: tuple[Number, ...], sent: tuple[Event, ...]) -> Step:
        return Step(
            Door(event.time_ns, numbers),
            sent=sent,
            passed=marked(event, self._name, 1, event.time_ns),
        )

    def _ends(self, state: Door) -> tuple[Event, ...]:
        if state.held is None:
            return ()
        return (marked(loaded_event(state.held), self._name, state.count, state.from_ns),)

    def _is_long(self, state: Door, time_ns: int) -> bool:
        return self._at_least_ns is not None and time_ns - state.time_ns >= self._at_least_ns

    def _in_opening(self, state: Door, time_ns: int, numbers: tuple[Number, ...]) -> bool:
        span_ns = time_ns - state.time_ns
        return all(
            low <= (number - first) / span_ns <= high
            for number, first, low, high in zip(
                numbers, state.first, state.low, state.high, strict=True
            )
        )

    def _narrowed(
        self, state: Door, time_ns: int, numbers: tuple[Number, ...], packed: bytes, now: Moment
    ) -> Step:
        """Hold a value back and let its posts narrow the opening."""
        span_ns = time_ns - state.time_ns
        lows, highs = [], []
        for place, (number, first) in enumerate(zip(numbers, state.first, strict=True)):
            band = self._band - _SLACK * (abs(number) + abs(first) + self._band)
            low, high = (number - band - first) / span_ns, (number + band - first) / span_ns
            if state.low:
                low, high = max(low, state.low[place]), min(high, state.high[place])
            lows.append(low)
            highs.append(high)
        door = Door(
            *(state.time_ns, state.first, tuple(lows), tuple(highs), packed, time_ns),
            state.count + 1,
            state.from_ns if state.count else time_ns,
            now.mono_ns + self._hold_ns,
        )
        return Step(door, reason="held")
