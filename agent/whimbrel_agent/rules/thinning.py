"""Rules that send some of the raw events as they are: deadband, change, sample. Pure.

Each keeps what it compares with, and how many it has held back since. Times are the events' own;
one that lies before the last sent is sent and becomes the new beginning, so that a clock which
was wrong for a while silences nothing for longer than it was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from whimbrel_agent.rules.marks import NO_NUMBER, marked, odd
from whimbrel_agent.rules.numbers import Number, getters_of, numbers_of
from whimbrel_agent.rules.selecting import MISSING
from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.event import Event

__all__ = ["Change", "Deadband", "Sample", "Since"]


@dataclass(frozen=True, slots=True)
class Since:
    """What was sent last, and what was held back since.

    Attributes:
        last: the numbers, the digest, or nothing to compare with.
        time_ns: of the event sent last.
        held: raw events held back since.
        from_ns: time of the first of those.
    """

    last: Any
    time_ns: int
    held: int = 0
    from_ns: int = 0


class _Thinning:
    """What the three have in common."""

    def __init__(self, config: RuleConfig) -> None:
        self._name = config.name
        at_least = config.at_least_s
        self._at_least_ns = None if at_least is None else int(at_least * 1e9)

    def due(self, _state: Since, _now: Moment) -> Step | None:
        """Nothing is ever due: what was held back is gone, only its count is not."""
        return None

    def close(self, _state: Since) -> tuple[Event, ...]:
        """Give nothing."""
        return ()

    def deadline_ns(self, _state: Since) -> int | None:
        """Never."""
        return None

    def held(self, state: Since) -> int:
        """Raw events since the one sent last."""
        return state.held

    def pack(self, state: Since) -> Any:
        """Give the state as a list."""
        last = list(state.last) if isinstance(state.last, tuple) else state.last
        return [last, state.time_ns, state.held, state.from_ns]

    def unpack(self, packed: Any, _now: Moment) -> Since:
        """Read the list."""
        last, time_ns, held, from_ns = packed
        return Since(tuple(last) if isinstance(last, list) else last, time_ns, held, from_ns)

    def _must(self, state: Since, time_ns: int) -> bool:
        """Whether an event goes on whatever it says: the first, a step back, a long silence."""
        since_ns = time_ns - state.time_ns
        return since_ns < 0 or (self._at_least_ns is not None and since_ns >= self._at_least_ns)

    def _send(self, state: Since | None, last: Any, event: Event) -> Step:
        held = 0 if state is None else state.held
        from_ns = state.from_ns if state is not None and held else event.time_ns
        return Step(Since(last, event.time_ns), passed=marked(event, self._name, held + 1, from_ns))

    def _hold(self, state: Since, event: Event, reason: str) -> Step:
        from_ns = state.from_ns if state.held else event.time_ns
        return Step(Since(state.last, state.time_ns, state.held + 1, from_ns), reason=reason)


class Deadband(_Thinning):
    """Sends what differs by more than the band from what was sent last, in any field."""

    def __init__(self, config: RuleConfig) -> None:
        super().__init__(config)
        self._getters = getters_of(config.fields)
        self._band = config.band
        self._percent = config.band_percent

    def take(self, state: Since | None, event: Event, _now: Moment) -> Step:
        """Take an event."""
        numbers = numbers_of(event, self._getters)
        if numbers is None:
            return odd(state, event, self._name, NO_NUMBER)
        if (
            state is None
            or self._must(state, event.time_ns)
            or any(self._beyond(a, b) for a, b in zip(numbers, state.last, strict=True))
        ):
            return self._send(state, numbers, event)
        return self._hold(state, event, "within-band")

    def _beyond(self, number: Number, last: Number) -> bool:
        band = self._band if self._percent is None else abs(last) * self._percent / 100
        return abs(number - last) > band


class Change(_Thinning):
    """Sends what is not the same as what was sent last: some fields, or all of data."""

    def __init__(self, config: RuleConfig) -> None:
        super().__init__(config)
        self._getters = getters_of(config.fields)

    def take(self, state: Since | None, event: Event, _now: Moment) -> Step:
        """Take an event."""
        digest = self._digest(event)
        if state is None or state.last != digest or self._must(state, event.time_ns):
            return self._send(state, digest, event)
        return self._hold(state, event, "unchanged")

    def _digest(self, event: Event) -> bytes:
        if self._getters:
            found = [get(event) for get in self._getters]
            value: Any = [[] if one is MISSING else [one] for one in found]
        else:
            value = sorted(event.data.items())
        return blake2b(dump_value(value), digest_size=12).digest()


class Sample(_Thinning):
    """Sends one of so many, or at most one in so long."""

    def __init__(self, config: RuleConfig) -> None:
        super().__init__(config)
        self._every = config.every
        self._period_ns = int((config.period_s or 0) * 1e9)

    def take(self, state: Since | None, event: Event, _now: Moment) -> Step:
        """Take an event."""
        if state is None or self._must(state, event.time_ns) or self._turn(state, event):
            return self._send(state, None, event)
        return self._hold(state, event, "sampled-out")

    def _turn(self, state: Since, event: Event) -> bool:
        if self._every is not None:
            return state.held + 1 >= self._every
        return event.time_ns - state.time_ns >= self._period_ns
