"""The window rule: many events become one with their smallest, greatest, mean and last. Pure.

The event of a window has its raw events' source, zone and subject where these are one and the
same (else the source ``edge-rule/NAME``), the time of the last of them, and in ``data`` for each field ``celsius`` as many of
``celsius_min``, ``celsius_max``, ``celsius_mean``, ``celsius_sum``, ``celsius_last`` as are asked
for, and ``count``.
"""

from __future__ import annotations

import math
from typing import Any, Final

from whimbrel_agent.rules.expression import field_of
from whimbrel_agent.rules.marks import NO_NUMBER, marks_of, odd
from whimbrel_agent.rules.numbers import Number, getters_of, numbers_of
from whimbrel_agent.rules.values import Moment, RuleConfig, Step
from whimbrel_agent.rules.windows import Open, Windowed
from whimbrel_protocol.event import Event

__all__ = ["Summary"]

Gathered = tuple[Number, Number, Number, Number]
"""Of one field: the least, the greatest, the sum, the last by time."""

_Named = tuple[str, str | None, str | None, str | None, str]
"""Type, source, zone, subject and lane of the event to come; None where raw events differ."""

_INT64: Final = 2**63
_MAX_TYPE_BYTES: Final = 240
"""Leaves room for what is added to it."""


class Summary(Windowed):
    """Sends one event per window and key."""

    def __init__(self, config: RuleConfig) -> None:
        super().__init__(config)
        self._name = config.name
        self._type = config.type
        self._lane = config.lane
        self._stats = config.stats
        self._getters = getters_of(config.fields)
        self._fields = tuple(field_of(name).path[-1] for name in config.fields)

    def take(self, state: tuple[Open, ...] | None, event: Event, now: Moment) -> Step:
        """Take an event."""
        numbers = numbers_of(event, self._getters)
        if numbers is None:
            return odd(state, event, self._name, NO_NUMBER)
        return self._taken(
            state, event, now, lambda window: _gathered(window, event, numbers),
            reason="summarised",
        )  # fmt: skip

    def pack(self, state: tuple[Open, ...]) -> Any:
        """Give the state as a list."""
        return [
            [
                *(one.start_ns, one.count, one.first_ns, one.last_ns),
                list(one.content[0]),
                [list(gathered) for gathered in one.content[1]],
            ]
            for one in state
        ]

    def unpack(self, packed: Any, now: Moment) -> tuple[Open, ...]:
        """Read the list; windows wait for their ends anew."""
        return tuple(
            Open(
                *(start_ns, self._timing.due_ns(start_ns, now), count, first_ns, last_ns),
                (tuple(named), tuple(tuple(gathered) for gathered in content)),
            )
            for start_ns, count, first_ns, last_ns, named, content in packed
        )

    def _events(self, window: Open) -> tuple[Event, ...]:
        named, content = window.content
        kind, source, zone, subject, lane = named
        data: dict[str, Any] = {"count": window.count}
        for name, gathered in zip(self._fields, content, strict=True):
            least, greatest, total, last = gathered
            mean = total / window.count
            values = {"min": least, "max": greatest, "mean": mean, "sum": total, "last": last}
            data |= {f"{name}_{stat}": values[stat] for stat in self._stats}
        event = Event(
            type=self._type or _type_of(kind),
            source=source or f"edge-rule/{self._name}",
            time_ns=window.last_ns,
            data=data,
            zone=zone,
            subject=subject,
            lane=self._lane or lane,
            extensions=marks_of(
                self._name, window.count, window.first_ns, window.last_ns, window.last_ns
            ),
        )
        return (event,)


def _type_of(kind: str) -> str:
    return f"{kind}.window" if len(kind.encode()) <= _MAX_TYPE_BYTES else "edge.window"


def _gathered(window: Open, event: Event, numbers: tuple[Number, ...]) -> Any:
    if window.content is None:
        named: _Named = (event.type, event.source, event.zone, event.subject, event.lane)
        return named, tuple((number, number, number, number) for number in numbers)
    named, content = window.content
    newest = event.time_ns >= window.last_ns
    return _named(named, event), tuple(
        (
            min(least, number),
            max(greatest, number),
            _sum(total, number),
            number if newest else last,
        )
        for (least, greatest, total, last), number in zip(content, numbers, strict=True)
    )


def _named(named: _Named, event: Event) -> _Named:
    kind, source, zone, subject, _ = named
    if source != event.source:
        source = None
    if zone != event.zone:
        zone = None
    if subject != event.subject:
        subject = None
    return kind, source, zone, subject, event.lane


def _sum(total: Number, number: Number) -> Number:
    """Add; whole numbers stay whole within 64 bits, and an overflow stays the greatest float."""
    added = total + number
    if type(added) is int:
        return added if -_INT64 <= added < _INT64 else float(added)
    return added if math.isfinite(added) else math.copysign(1.797e308, added)
